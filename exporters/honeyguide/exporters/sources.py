"""Retrieves candidates for a bundle: by its own vectors, or by the bundles that its ranker stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.exporters.forward import Forward, open_session
from honeyguide.sdk import HistoryBatch, Model
from honeyguide.sdk.candidates import sourced_candidates
from honeyguide.sdk.errors import BundleError, ConfigError, ExportError
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import ITEM_VECTORS, MANIFEST, USER_GRAPH, Manifest, read_manifest, verify
from honeyguide.sdk.names import versions_in

__all__ = ["CandidateSource", "find_bundle", "open_sources", "unmasked_candidates"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CandidateSource:
    """User vectors and item vectors of a bundle, and the index that serves them; or a graph that scores all items."""

    model: Model
    user: tuple[Forward, Forward]
    """The network's method and the graph made of it; of a published bundle, which is proven, the graph twice."""
    items: Floats | None
    """(items, d); None where the graph scores the catalogue."""
    index: Any = None
    """FAISS index over ``items``; None searches exactly."""

    def scores(self, histories: HistoryBatch) -> Floats:
        """Returns (users, items) scores by the network's method; what was seen is among them."""
        return self._scores(self.user[0], histories)

    def graph_scores(self, histories: HistoryBatch) -> Floats:
        """Returns the same by the graph."""
        return self._scores(self.user[1], histories)

    def _scores(self, user: Forward, histories: HistoryBatch) -> Floats:
        answer = user(self.model.encode(histories))
        if self.items is not None:
            return answer["user_vector"] @ self.items.T
        scores, expected = answer["item_scores"], (len(histories), self.model.data.items)
        if scores.shape != expected or not np.isfinite(scores).all():
            raise ExportError(
                f"scores() of model {self.model.name!r} returned shape {scores.shape}, or what is not finite; it must "
                f"return {expected}: a finite number for each user and item"
            )
        return scores


def unmasked_candidates(
    sources: Sequence[CandidateSource], histories: HistoryBatch, count: int
) -> tuple[NDArray[np.int32], Floats]:
    """Returns candidates to try a graph with, shaped as `sourced_candidates` does; what was seen is among them."""
    return sourced_candidates([source.scores(histories) for source in sources], count)


def find_bundle(repository: Path, weights: str) -> tuple[str, int] | None:
    """Returns name and version of the newest bundle that was made from a checkpoint, or None.

    Args:
        repository: the folder of bundles; it may be missing.
        weights: SHA-256 of the checkpoint's weights.
    """
    bundles = []
    for file in repository.glob(f"*/*/{MANIFEST}"):
        try:
            manifest = read_manifest(file.parent)
        except BundleError:
            continue  # broken, foreign or not published: it retrieves for nobody
        if manifest.weights == weights:
            bundles.append((manifest.created, manifest.version, manifest.name))
    if not bundles:
        return None
    _, version, name = max(bundles)
    return name, version


def open_sources(repository: Path, ranker: Manifest, host: PluginHost | None) -> list[CandidateSource]:
    """Opens and verifies the bundles that a manifest names as its retrievers, in its order.

    Args:
        repository: the folder of bundles.
        ranker: the manifest of the bundle they retrieve for.
        host: the plugins that offer their models; by default the installed ones.

    Raises:
        ExportError: where one is missing, broken, retrieves nothing, or has another vocabulary or data than the ranker.
        PluginError: where no plugin offers a retriever's model.
    """
    if not ranker.retrievers:
        return []
    host = host or PluginHost.load()
    return [_open(repository / name / str(version), ranker, host) for name, version in ranker.retrievers]


def _open(folder: Path, ranker: Manifest, host: PluginHost) -> CandidateSource:
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
    if manifest.retrievers:
        raise ExportError(f"{label} does not retrieve, it ranks what others retrieve: name a bundle that retrieves")
    if differences := manifest.differences(ranker):
        raise ExportError(
            f"{label} was made from other data than {ranker.name!r}: its {' and '.join(differences)} differ; "
            "train and export both from the same data set"
        )
    try:
        model = host.build(manifest.model_class, manifest.config, manifest.data)
    except ConfigError as error:
        raise ExportError(
            f"{label} was made by {manifest.plugin}, whose options differ from the installed plugin's ({error}): "
            "export it again"
        ) from error
    user = open_session(folder / USER_GRAPH)
    vectors = None if manifest.scores_catalogue else np.load(folder / ITEM_VECTORS, allow_pickle=False)
    return CandidateSource(model, (user, user), vectors)
