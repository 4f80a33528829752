"""Writes and reads run folders: ``checkpoint.json`` and ``weights.safetensors``, and nothing that needs pickle."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.data import DataSpec
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import file_sha256
from honeyguide.sdk.model import Model
from honeyguide.training.plugin_calls import plugin_call
from honeyguide.training.runs.history import HISTORY
from honeyguide.training.runs.vocabulary import VOCABULARY
from honeyguide.training.target_folder import writing

if TYPE_CHECKING:  # so that a description is read, and refused, without loading torch
    from torch import Tensor, nn

__all__ = [
    "CHECKPOINT",
    "RETRIEVERS",
    "Checkpoint",
    "copy_run",
    "load_checkpoint",
    "load_first",
    "plugin_of",
    "put_in_place",
    "read_checkpoint",
    "save_checkpoint",
]

FORMAT_VERSION = 2
CHECKPOINT = "checkpoint.json"
WEIGHTS = "weights.safetensors"
FIRST = "first.safetensors"
RETRIEVERS = "retrievers"
"""Folder of a joint run's retrievers, beneath its own."""
_TYPES: Mapping[type, tuple[str, ...]] = {
    str: ("model", "plugin", "dataset", "weights", "first"),
    dict: ("config", "spec", "metrics", "options", "report"),
    int: ("seed", "candidates", "epochs"),
    list: ("retrievers",),
}
_AGAIN = "train the model again with `honeyguide train`"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Description of a trained network."""

    model: str
    """The model class's name."""
    config: Mapping[str, Any]
    """Its options."""
    plugin: str
    """Distribution and version that offered it, such as "honeyguide 0.1.0"."""
    spec: DataSpec
    """The data it was trained on."""
    dataset: str
    """The data set's name."""
    seed: int
    candidates: int
    """How many retrieved items to rerank; 0 where there is no ranker, or it did not earn its place."""
    epochs: int
    """The best epoch."""
    metrics: Mapping[str, float]
    """On the validation users, such as "retrieve/ndcg@10"."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained: the fields of `honeyguide.training.fit.options.FitOptions`."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """How training went."""
    retrievers: tuple[str, ...] = ()
    """Folders of the runs that retrieve for it, copied beneath its own; empty where it retrieves itself."""
    weights: str = ""
    """SHA-256 of the weights' file; made when it is saved."""
    first: str = ""
    """As ``weights``, of the first retriever, which never saw the baskets held back; "" where there was none."""


def save_checkpoint(
    folder: Path, checkpoint: Checkpoint, network: nn.Module, first: Mapping[str, Tensor] | None = None
) -> None:
    """Writes a run folder; the description comes last, so a folder that has one is complete.

    Args:
        folder: made where it is missing.
        checkpoint: its ``weights`` and ``first`` are made here.
        network: the trained network.
        first: the state of the first retriever, from which a joint ranker can learn without leaks.
    """
    from honeyguide.training.runs.tensor_file import state_of

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    (folder / FIRST).unlink(missing_ok=True)
    digests = {"weights": _save(state_of(network), folder / WEIGHTS)}
    if first is not None:
        digests["first"] = _save(first, folder / FIRST)
    draft = folder / f"{CHECKPOINT}.part"
    plain = dataclasses.asdict(checkpoint) | digests
    with writing(folder / CHECKPOINT, "what was trained", draft=draft):
        draft.write_text(json.dumps({"format_version": FORMAT_VERSION} | plain, indent=2) + "\n", "utf-8")
        _publish(draft, folder / CHECKPOINT)


def put_in_place(fresh: Path, folder: Path) -> None:
    """Moves a run that is whole into a folder, in place of the one there; the description comes last."""
    (folder / CHECKPOINT).unlink(missing_ok=True)  # from here on, what lay here before is incomplete
    for name in (WEIGHTS, FIRST, HISTORY, VOCABULARY):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / RETRIEVERS, ignore_errors=True)
    for path in sorted(fresh.iterdir(), key=lambda path: path.name == CHECKPOINT):
        path.rename(folder / path.name)
    fresh.rmdir()


def copy_run(source: Path, target: Path) -> None:
    """Copies a run without its first retriever, so that what ranks for it has it at hand wherever it goes."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, CHECKPOINT):
        with writing(target / name, "the copy of a retriever"):
            shutil.copyfile(source / name, target / name)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a run folder's description alone, and nothing that needs torch.

    Raises `DataError` where it is missing, broken or of another format.
    """
    return Checkpoint(**_read(Path(path) / CHECKPOINT))


def load_checkpoint(path: str | Path, host: PluginHost) -> tuple[Checkpoint, Model, nn.Module]:
    """Reads a run folder; the network is in eval mode, on the CPU.

    Raises:
        DataError: a file is missing, broken, of another format, or the weights do not fit the model.
        PluginError: no installed plugin offers the model.
    """
    folder = Path(path)
    checkpoint = read_checkpoint(folder)
    try:
        model = host.build(checkpoint.model, checkpoint.config, checkpoint.spec)
    except ConfigError as error:
        raise DataError(
            f"the installed {checkpoint.model!r} takes other options ({error}); it was trained by {checkpoint.plugin}",
            file=str(folder / CHECKPOINT),
            remedy=f"install that version, or {_AGAIN}",
        ) from error
    with plugin_call(model, "network"):
        network = model.network()
    _load_weights(folder / WEIGHTS, checkpoint.weights, network, checkpoint)
    return checkpoint, model, network.eval()


def load_first(path: str | Path, checkpoint: Checkpoint, model: Model) -> nn.Module:
    """Reads the first retriever of a run folder, as `load_checkpoint` reads the final one.

    Raises:
        DataError: there is none, or it is broken.
    """
    file = Path(path) / FIRST
    with plugin_call(model, "network"):
        network = model.network()
    if not checkpoint.first:
        if capabilities_of(network).ranks is None:
            why, remedy = "the model has no ranker, and held nothing back", "name a run of a model that has one"
        elif checkpoint.options.get("candidates", 0) > 0:
            why, remedy = "the data has too few baskets", "use more data"
        else:
            why, remedy = "the run was trained without holding baskets back", "train it again with --candidates above 0"
        raise DataError(f"there is no such file: {why} for a ranker to learn from", file=str(file), remedy=remedy)
    _load_weights(file, checkpoint.first, network, checkpoint)
    return network.eval()


def plugin_of(host: PluginHost, model: str) -> str:
    """Returns distribution and version of a model's plugin, such as "honeyguide 0.1.0"."""
    owner = host.owner(model)
    return f"{owner.distribution or owner.name} {owner.version}".strip()


def _read(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text("utf-8"))
        version = raw.pop("format_version")
        if version == FORMAT_VERSION:
            spec = DataSpec.from_dict(raw["spec"])
            names = {f.name for f in dataclasses.fields(Checkpoint)}
            if set(raw) == names:
                _check_types(raw)
                return {**raw, "spec": spec, "retrievers": tuple(raw["retrievers"])}
            version = f"{version} with fields {', '.join(sorted(set(raw) ^ names))} missing or unknown"
    except (FileNotFoundError, NotADirectoryError):
        if not file.parent.is_dir():
            raise DataError("there is no such folder", file=str(file.parent), remedy="name a run's folder") from None
        raise DataError(
            "there is no such file: the folder holds no finished training", file=str(file), remedy=_AGAIN
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"cannot be read ({type(error).__name__}: {error})", file=str(file), remedy=_AGAIN) from error
    raise DataError(f"has format {version}; this honeyguide reads {FORMAT_VERSION}", file=str(file), remedy=_AGAIN)


def _check_types(raw: Mapping[str, Any]) -> None:
    """Raises `TypeError` where a field is not of its type in JSON."""
    for kind, names in _TYPES.items():
        for name in names:
            if not isinstance(raw[name], kind) or isinstance(raw[name], bool):
                raise TypeError(f"{name} is of type {type(raw[name]).__name__}")
    if not all(isinstance(folder, str) for folder in raw["retrievers"]):
        raise TypeError("retrievers holds other things than text")
    if not all(isinstance(value, int | float) for value in raw["metrics"].values()):
        raise TypeError("metrics holds other things than numbers")


def _load_weights(file: Path, digest: str, network: nn.Module, checkpoint: Checkpoint) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(file)
        changed = file_sha256(file) != digest
    except FileNotFoundError:
        raise DataError("there is no such file", file=str(file), remedy=_AGAIN) from None
    except (SafetensorError, OSError) as error:
        raise DataError(f"is corrupt ({error})", file=str(file), remedy=_AGAIN) from error
    if changed:
        raise DataError(f"is not the file that {CHECKPOINT} describes: it was changed", file=str(file), remedy=_AGAIN)
    expected = network.state_dict()
    wrong = [f"{name} is missing" for name in sorted(set(expected) - set(weights))]
    wrong += [f"{name} is unknown" for name in sorted(set(weights) - set(expected))]
    wrong += [
        f"{name} has shape {tuple(weights[name].shape)}, the model {tuple(expected[name].shape)}"
        for name in sorted(set(weights) & set(expected))
        if weights[name].shape != expected[name].shape
    ]
    if wrong:
        raise DataError(
            f"does not fit the installed model {checkpoint.model!r}: {'; '.join(wrong[:3])}; "
            f"it was trained by {checkpoint.plugin}",
            file=str(file),
            remedy=f"install that version, or {_AGAIN}",
        )
    network.load_state_dict(weights)


def _save(state: Mapping[str, Tensor], file: Path) -> str:
    """Writes tensors and returns the file's SHA-256."""
    from honeyguide.training.runs.tensor_file import save_tensors

    save_tensors(file, state)
    return file_sha256(file)


def _publish(draft: Path, file: Path) -> None:
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    draft.replace(file)
