"""Exports a trained run: finds what belongs to it, and has its bundle made, proven and published."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from honeyguide.exporters.precision import PRECISIONS
from honeyguide.sdk.errors import DataError, ExportError, InvalidArgument
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import Manifest
from honeyguide.sdk.names import NAME_PATTERN
from honeyguide.sdk.signatures import SigningKey
from honeyguide.training.runs.checkpoint import Checkpoint, read_checkpoint
from honeyguide.training.target_folder import check_makeable

if TYPE_CHECKING:  # heavy; imported when the arguments are checked
    from honeyguide.training.dataset import Dataset

__all__ = ["PublishedBundle", "export"]


@dataclass(frozen=True, slots=True)
class PublishedBundle(os.PathLike[str]):
    """Folder of one version in a repository, with what it says of itself; usable wherever a path is."""

    folder: Path
    manifest: Manifest

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def name(self) -> str:
        """What the bundle is called."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """Its version, from 1."""
        return self.manifest.version


def export(
    run: str | os.PathLike[str],
    data: Dataset | str | os.PathLike[str],
    *,
    repository: str | os.PathLike[str] = "models",
    name: str = "",
    precision: str = "float32",
    sign_key: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> PublishedBundle:
    """Exports a trained run to ONNX + FAISS, proves that they compute what the network does, publishes a version.

    A model that ranks what others retrieve needs their bundles in the same repository: export those first.

    Args:
        run: what `honeyguide.training.train` returned, or its folder.
        data: the data set that it was trained on, or its folder.
        repository: the folder of bundles; made where it is missing.
        name: what the bundle is called: lower-case letters, digits, "_" and "-", starting with a letter, at most 64;
            by default the model's name.
        precision: what its graphs compute with: "float32", "float16" or "int8" (weights of 8 bits, multiplied as such).
        sign_key: file of the private key that signs the bundle, as `honeyguide keys new` writes it; None: nobody does.
        progress: called with what is being done, for a person who waits.

    Raises:
        ConfigError: where the key is none.
        InvalidArgument: for a name that no bundle can have, or another precision.
        DataError: a folder is none of ours or cannot be written to, the run was trained on other data, or its joint
            ranker did not earn its place.
        FailedPrecondition: this process was forked from one that had data sets open.
        PluginError: no installed plugin offers the model, or it failed; the original error is its cause.
        ExportError: a retriever is not exported or does not fit, the network cannot be exported, or the bundle fails
            its own proof; nothing is published then.
    """
    if name and not NAME_PATTERN.fullmatch(name):
        raise InvalidArgument("name", name, f"text that matches {NAME_PATTERN.pattern}")
    if precision not in PRECISIONS:
        raise InvalidArgument("precision", precision, f"one of {', '.join(PRECISIONS)}")
    signer = None if sign_key is None else SigningKey.read(Path(sign_key))
    folder, target = Path(run), Path(repository)
    check_makeable(target)
    checkpoint = read_checkpoint(folder)
    data_folder = str(data) if isinstance(data, str | os.PathLike) else ""
    retrievers = _retrievers(folder, checkpoint, target, data_folder or "DATA")
    host = PluginHost.load()

    from honeyguide.training.dataset import Dataset

    dataset = data if isinstance(data, Dataset) else Dataset.open(Path(data))
    if checkpoint.spec.fingerprint != dataset.spec.fingerprint:
        raise DataError(
            f"holds another data set than the one {folder} was trained on ({checkpoint.dataset!r})",
            file=data_folder or f"data set {dataset.name!r}",
            remedy="name that one, or train again on this one",
        )
    report = progress or (lambda _: None)
    report("reading the run")

    from honeyguide.exporters.bundle import export_bundle
    from honeyguide.training.runs.checkpoint import load_checkpoint

    _, model, network = load_checkpoint(folder, host)
    manifest = export_bundle(
        target,
        name or checkpoint.model,
        model=model,
        network=network,
        items=dataset.items,
        evaluation=dataset.validation(),
        plugin=checkpoint.plugin,
        metrics=checkpoint.metrics,
        candidates=checkpoint.candidates,
        retrievers=retrievers,
        weights=checkpoint.weights,
        precision=PRECISIONS[precision],
        host=host,
        sign_key=signer,
        progress=report,
    )
    return PublishedBundle(target / manifest.name / str(manifest.version), manifest)


def _retrievers(folder: Path, checkpoint: Checkpoint, repository: Path, data: str) -> list[tuple[str, int]]:
    """Finds the bundles of the runs that a joint ranker was trained over."""
    from honeyguide.exporters.sources import find_bundle

    if checkpoint.retrievers and not checkpoint.candidates:
        best = checkpoint.report.get("alone", {}).get("model", "")
        raise DataError(
            f"the ranker did not earn its place ({checkpoint.report.get('ranker', 'no reason given')}), and a joint "
            "bundle is nothing else",
            file=str(folder),
            remedy=f"serve the best of its retrievers{best and f', {best}'}",
        )
    bundles = []
    for name in checkpoint.retrievers:
        bundle = find_bundle(repository, read_checkpoint(folder / name).weights)
        if bundle is None:
            raise ExportError(
                f"{repository} has no bundle of {folder / name}, which retrieves for {folder}: "
                f"run `honeyguide export {folder / name} {data} --repository {repository}` first"
            )
        bundles.append(bundle)
    return bundles
