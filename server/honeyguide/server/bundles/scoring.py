"""Serves a bundle whose graph scores the whole catalogue: neither vectors nor index, all else as ever."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import Model
from honeyguide.sdk.errors import CorruptBundle, NoNeighbours
from honeyguide.sdk.manifest import NEIGHBOUR, Manifest
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.graph import Graph
from honeyguide.server.bundles.retrieval import Candidates, GivenScores, Limits, list_permitted
from honeyguide.server.bundles.user_cache import VectorCache

__all__ = ["ScoringBundle"]

_CACHED_BYTES = 64 << 20
"""Scores of users that are kept: a user has one for each item."""

Scores = NDArray[np.float32]


class ScoringBundle(RetrievingBundle):
    """Bundle whose users are read to (items,) scores in place of vectors."""

    def __init__(
        self,
        manifest: Manifest,
        model: Model,
        catalogue: Catalogue,
        graphs: Mapping[str, Graph],
        neighbours: NDArray[np.void] | None,
        cached_users: int,
    ) -> None:
        """Takes its parts.

        Args:
            manifest: of the bundle.
            model: encodes histories.
            catalogue: its items.
            graphs: by file name.
            neighbours: (items, n) of `NEIGHBOUR`; None where the model does not say which items are alike.
            cached_users: how many users' scores are kept; fewer where these would take more than 64 MB.

        Raises `CorruptBundle` for neighbours that are none of this catalogue's.
        """
        items = manifest.data.items
        cache = VectorCache(min(cached_users, _CACHED_BYTES // (4 * items)))
        super().__init__(manifest, model, catalogue, graphs, np.empty((items, 0), np.float32), GivenScores(), cache)
        self._rows = self._similarities = None
        if neighbours is None:
            return
        if (
            neighbours.dtype != NEIGHBOUR
            or neighbours.ndim != 2
            or len(neighbours) != items
            or not ((neighbours["row"] >= -1) & (neighbours["row"] < items)).all()
        ):
            raise CorruptBundle(
                f"{manifest.name}/{manifest.version}: the neighbours are none of its {items} items; "
                "export the model again"
            )
        self._rows = np.ascontiguousarray(neighbours["row"])
        self._similarities = np.ascontiguousarray(neighbours["score"])

    def similar(
        self,
        rows: NDArray[np.integer],
        limits: Limits,
        counts: NDArray[np.integer],
        placed: Scores | None = None,  # noqa: ARG002  # what scores its catalogue places no other items
    ) -> Candidates:
        """Returns at most ``counts`` of the model's own neighbours of (rows,) items; the score is its similarity.

        Raises `NoNeighbours` where the model has none.
        """
        if self._rows is None or self._similarities is None:
            raise NoNeighbours(
                f"model {self.manifest.name!r} has neither item vectors nor neighbours of items: "
                "ask for similar items of another model"
            )
        return list_permitted(self._rows[rows], self._similarities[rows], limits, counts)

    def away(self, vectors: Scores, owners: NDArray[np.int64], rows: NDArray[np.int64], weight: float) -> Scores:
        """Returns (users, items) scores less those of what is like the disliked rows.

        ``score - weight * |largest score| * mean(similarity to what is disliked)``; nothing where the model does not
        say which items are alike.
        """
        if self._rows is None or self._similarities is None:
            return vectors
        pushed = vectors.copy()
        near, similar = self._rows[rows], self._similarities[rows]  # (disliked, n)
        counts = np.bincount(owners, minlength=len(vectors))
        share = weight * np.abs(vectors).max(1)[owners] / counts[owners]
        pair, place = np.nonzero(near >= 0)
        np.subtract.at(pushed, (owners[pair], near[pair, place]), share[pair] * similar[pair, place])
        np.subtract.at(pushed, (owners, rows), share)  # what is disliked itself, whose similarity is 1
        return pushed
