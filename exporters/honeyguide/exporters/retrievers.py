"""Opens the bundles that retrieve for a joint ranker, and retrieves with all of them as a server does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honeyguide.exporters.runs import Run, open_session, user_vectors
from honeyguide.sdk import HistoryBatch, Model
from honeyguide.sdk.candidates import source_scores, top_k, union
from honeyguide.sdk.errors import BundleError, ConfigError, ExportError
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import ITEM_VECTORS, MANIFEST, USER_GRAPH, Manifest, read_manifest, verify
from honeyguide.sdk.metrics import mask_seen
from honeyguide.sdk.names import versions_in

__all__ = ["Retriever", "find_bundle", "joint_candidates", "open_retrievers"]

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Retriever:
    """Holds what retrieving with a published bundle takes."""

    model: Model
    user: Run
    items: Floats
    """(items, d), memory-mapped."""


def find_bundle(repository: Path, weights: str) -> tuple[str, int] | None:
    """Returns name and version of the newest bundle that was made from a checkpoint, or None.

    Args:
        repository: the folder of bundles; it may be missing.
        weights: SHA-256 of the checkpoint's weights.
    """
    found = []
    for file in repository.glob(f"*/*/{MANIFEST}"):
        try:
            manifest = read_manifest(file.parent)
        except BundleError:
            continue  # broken, foreign or not published: it retrieves for nobody
        if manifest.weights == weights:
            found.append((manifest.created, manifest.version, manifest.name))
    if not found:
        return None
    _, version, name = max(found)
    return name, version


def open_retrievers(
    repository: Path, names: Sequence[tuple[str, int]], joint: Manifest, host: PluginHost
) -> list[Retriever]:
    """Opens and verifies bundles.

    Args:
        repository: the folder of bundles.
        names: name and version of each, at least one.
        joint: the manifest of the bundle they retrieve for.
        host: the plugins that offer their models.

    Raises:
        ExportError: where one is missing, broken, has no vectors, or has another vocabulary or data than the joint one.
        PluginError: where no plugin offers a retriever's model.
    """
    if not names:
        raise ExportError("no retrievers: a joint ranker needs at least one bundle that retrieves for it")
    return [_open(repository / name / str(version), joint, host) for name, version in names]


def joint_candidates(
    retrievers: Sequence[Retriever], histories: HistoryBatch, count: int, *, repeats: bool
) -> tuple[Rows, Floats]:
    """Returns the (users, n) union of every retriever's best rows and their (users, n, sources) scores.

    Args:
        retrievers: in the order of the rank graph's sources.
        histories: none of them empty.
        count: how many rows EACH retriever finds.
        repeats: whether what was seen may come again; else it is masked.
    """
    vectors = [user_vectors(one.model, one.user, histories) for one in retrievers]
    lists = []
    for one, own in zip(retrievers, vectors, strict=True):
        scores = own @ one.items.T  # (users, items)
        if not repeats:
            mask_seen(scores, histories)
        lists.append(top_k(scores, count)[0])
    rows = union(lists)
    return rows, source_scores(rows, vectors, [one.items for one in retrievers])


def _open(folder: Path, joint: Manifest, host: PluginHost) -> Retriever:
    label = f"retriever {folder.parent.name}/{folder.name}"
    if not folder.is_dir():
        home = folder.parent
        versions = ", ".join(map(str, versions_in(home)))
        there = f"{home.name} has version {versions}" if versions else f"there is no bundle {home.name!r}"
        raise ExportError(f"{label} does not exist ({there}): export it first")
    try:
        manifest = read_manifest(folder)
        verify(folder, manifest)
    except BundleError as error:
        raise ExportError(f"{label} cannot be used: {error.message}") from error
    if manifest.index is None:
        raise ExportError(f"{label} does not retrieve, it ranks what others retrieve: name a bundle that retrieves")
    if differences := manifest.differences(joint):
        raise ExportError(
            f"{label} was made from other data than {joint.name!r}: its {' and '.join(differences)} differ; "
            "train and export both from the same data set"
        )
    try:
        model = host.build(manifest.model_class, manifest.config, manifest.data)
    except ConfigError as error:
        raise ExportError(
            f"{label} was made by {manifest.plugin}, whose options differ from the installed plugin's ({error}): "
            "export it again"
        ) from error
    items = np.load(folder / ITEM_VECTORS, mmap_mode="r", allow_pickle=False)
    return Retriever(model, open_session(folder / USER_GRAPH), items)
