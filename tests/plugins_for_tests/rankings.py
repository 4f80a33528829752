"""Makes rankings by hand, for the tests of rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from honeyguide.sdk import Categories, HistoryBatch, RankedCandidates

__all__ = ["categories_of", "ranking"]


def categories_of(lists: Sequence[Sequence[int]]) -> Categories:
    """Builds the categories of a catalogue from each item's own."""
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in lists])])
    return Categories(offsets.astype(np.int64), np.array([code for own in lists for code in sorted(own)], np.int32))


def ranking(
    scores: ArrayLike,
    vectors: ArrayLike,
    rows: ArrayLike | None = None,
    *,
    histories: Sequence[Sequence[int]] | None = None,
    categories: Sequence[Sequence[int]] | None = None,
) -> RankedCandidates:
    """Builds a ranking of one user or several; by default of items 0, 1 …, of users who did nothing, no categories."""
    given = np.atleast_2d(np.asarray(scores, np.float32))
    items = np.asarray(vectors, np.float32)
    batch, count = given.shape
    return RankedCandidates(
        rows=np.tile(np.arange(count, dtype=np.int32), (batch, 1)) if rows is None else np.asarray(rows, np.int32),
        scores=given,
        item_vectors=items,
        history=HistoryBatch.from_lists([[]] * batch if histories is None else histories),
        categories=categories_of([[]] * len(items) if categories is None else categories),
    )
