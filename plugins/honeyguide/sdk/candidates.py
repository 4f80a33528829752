"""Joins what several retrievers found into the candidates of a joint ranker, in training, proof and serving alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["source_scores", "union"]


def union(lists: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.int64]:
    """Returns (users, n) rows without duplicates: the first list, then what is new in the second, and so on.

    Args:
        lists: of each retriever, (users, its own n) catalogue rows, best first, -1 where there are fewer.

    Returns:
        n is the longest user's number of candidates, at least 1; shorter users end in -1.
    """
    rows = np.concatenate(lists, axis=1).astype(np.int64)  # (users, all)
    order = np.argsort(rows, axis=1, kind="stable")  # equal rows together, in the order they came
    ascending = np.take_along_axis(rows, order, axis=1)
    first = ascending >= 0
    first[:, 1:] &= ascending[:, 1:] != ascending[:, :-1]
    kept = np.empty_like(first)
    np.put_along_axis(kept, order, first, axis=1)
    front = np.argsort(~kept, axis=1, kind="stable")[:, : max(1, int(kept.sum(1).max(initial=0)))]
    return np.take_along_axis(np.where(kept, rows, -1), front, axis=1)


def source_scores(
    rows: NDArray[np.integer[Any]],
    users: Sequence[NDArray[np.float32]],
    items: Sequence[NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Returns (users, n, sources): the inner product of every source's user and item vectors, 0 where the row is -1.

    Args:
        rows: (users, n) catalogue rows, as `union` returns them.
        users: of each source, its (users, d) user vectors.
        items: of each source, its (items, d) item vectors.
    """
    places = np.maximum(rows, 0)
    scores = [(table[places] @ vectors[:, :, None])[..., 0] for vectors, table in zip(users, items, strict=True)]
    return np.where(rows[..., None] < 0, np.float32(0), np.stack(scores, axis=-1))
