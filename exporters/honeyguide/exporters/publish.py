"""Publishes a folder as the next version of a bundle by one rename, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from honeyguide.sdk import Model
from honeyguide.sdk.config import config_to
from honeyguide.sdk.errors import ExportError, InvalidArgument
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.manifest import ITEMS, MANIFEST, SIGNATURE, Manifest, file_sha256, vocabulary_hash
from honeyguide.sdk.names import NAME_PATTERN, versions_in
from honeyguide.sdk.signatures import SigningKey
from honeyguide.training.target_folder import writing

if TYPE_CHECKING:
    import polars as pl

__all__ = ["draft_manifest", "publish", "write_items"]

_LOCK = ".export-lock"
_UNFINISHED = ".export-unfinished"


def draft_manifest(
    name: str,
    model: Model,
    items: pl.DataFrame,
    evaluation: EvaluationSet,
    *,
    plugin: str,
    metrics: Mapping[str, float],
    candidates: int,
    retrievers: Sequence[tuple[str, int]],
    weights: str,
) -> Manifest:
    """Returns what is known of a bundle before its files are made; what only these tell is left empty.

    Raises `InvalidArgument` for a name that no bundle can have, `ExportError` for a catalogue or an evaluation set that
    does not serve.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidArgument("name", name, f"text that matches {NAME_PATTERN.pattern}")
    if items.height != model.data.items:
        raise ExportError(
            f"the catalogue has {items.height} items and the model was trained on {model.data.items}: "
            "export with the data set of the training run"
        )
    if not len(evaluation):
        raise ExportError("no validation users: the proof needs at least one; prepare with a split that has some")
    return Manifest(
        name=name,
        version=0,
        created="",
        model_class=model.name,
        api_version=model.api_version,
        plugin=plugin,
        config=config_to(model.config),
        weights=weights,
        data=model.data,
        inputs=model.inputs(),
        dimension=0,
        max_length=model.max_length,
        ranks=candidates > 0,
        candidates=candidates,
        steps=False,
        explains=False,
        retrievers=tuple(retrievers),
        vocabulary=vocabulary_hash(items["item_id"]),
        index=None,
        metrics=dict(metrics),
        proof={},
        files={},
    )


def publish(
    repository: Path, name: str, write: Callable[[Path], Manifest], sign_key: SigningKey | None = None
) -> Manifest:
    """Publishes ``repository/name/<next version>/``.

    Exporters of one name wait for each other. The folder appears by rename with every byte on disk, so a reader never
    sees half a bundle; what a killed export left behind has no version's name, and the next export removes it.

    Args:
        repository: the folder of bundles; made where it is missing.
        name: what the bundle is called.
        write: fills the folder it is given and returns the manifest, but for version, date and files. What it raises
            goes on, and nothing is published; so does the `DataError` where the disk refuses the rest.
        sign_key: signs the manifest, which holds the digest of every file; None: nobody does.

    Returns:
        The published manifest.
    """
    from filelock import FileLock

    home = (repository / name).resolve()  # a link stays one, and where it leads to is written
    with writing(home, "the bundle"):
        home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / _LOCK):  # released by the system if the process dies
        folder = home / _UNFINISHED
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            written = write(folder)
            manifest = replace(
                written,
                version=max(versions_in(home), default=0) + 1,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                files={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
                sizes={path.name: path.stat().st_size for path in sorted(folder.iterdir())},
            ).sealed()
            content = manifest.to_json().encode()
            with writing(folder, "the bundle"):
                (folder / MANIFEST).write_bytes(content)
                if sign_key is not None:
                    (folder / SIGNATURE).write_bytes(sign_key.sign(content))
                for path in (*folder.iterdir(), folder):
                    _sync(path)
                folder.rename(home / str(manifest.version))
                _sync(home)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return manifest


def write_items(items: pl.DataFrame, folder: Path) -> None:
    """Writes the catalogue's table; raises `DataError` where the disk refuses it."""
    import polars as pl

    with writing(folder / ITEMS, "the catalogue", pl.exceptions.PolarsError):  # Polars' name for a full disk
        items.select("item_id", "title", "categories", "popularity").write_parquet(folder / ITEMS)


def _sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder, and needs not
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
