"""Makes candidates of retrieval scores and lays them out for a ranker, in training, proof and serving alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ranker_inputs", "source_scores", "sourced_candidates", "tokens", "top_k", "union"]


def top_k(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns the best of (users, items) scores.

    Returns:
        (users, min(k, items)) columns of ``scores``, best first, the smaller column first on ties, -1 where the score
        is -inf; and their scores, descending.
    """
    users, items = scores.shape
    k = min(k, items)
    if k == 0:
        return np.empty((users, 0), np.int32), np.empty((users, 0), np.float32)
    line = np.arange(users)[:, None]
    columns = scores.argpartition(items - k, 1)[:, items - k :]
    best = scores.take(columns + line * items)
    order = (-best).argsort(1) + line * k
    columns, best = columns.take(order).astype(np.int32), best.take(order)
    # Of equal scores these two take any, in any order. That is fast and equal scores are rare: whoever has some is done
    # again. What is counted is below the last: a score that is no number, such as a broken graph gives, never is.
    below, equal = scores < best[:, -1:], best[:, 1:] == best[:, :-1]
    if np.count_nonzero(below) < users * (items - k) or np.logical_or.reduce(equal, None):
        tied = (below.sum(1) < items - k) | equal.any(1)
        columns[tied], best[tied] = _top_k_of_equals(scores[tied], k)
    if -np.inf in best[:, -1].tolist():
        columns[best == -np.inf] = -1
    return columns, best


def _top_k_of_equals(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Does as `top_k` for k of 1 to the number of items, whatever scores are equal; a column stays where it is -inf."""
    last = np.partition(scores, -k, axis=1)[:, -k, None]
    above = scores > last
    equal = ~(above | (scores < last))
    best = above | (equal & (equal.cumsum(1) <= k - above.sum(1, keepdims=True)))  # k of each line
    columns, values = np.nonzero(best)[1].reshape(-1, k), scores[best].reshape(-1, k)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1), np.take_along_axis(values, order, 1)


def tokens(rows: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Returns catalogue rows as graphs take them: a token is row + 1, PAD is 0."""
    return rows.astype(np.int64) + 1


def ranker_inputs(rows: NDArray[np.integer[Any]], scores: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Lays candidates out as a rank graph takes them.

    Args:
        rows: (users, n) catalogue rows, -1 where there are fewer.
        scores: (users, n, sources) what each retriever says of each; where the row is -1 it counts for nothing.

    Returns:
        "candidates" (users, n) int64 tokens, row + 1 with PAD = 0, and "retrieval_scores" (users, n, sources) float32,
        0 at PAD.
    """
    present = rows >= 0
    return {
        "candidates": tokens(rows),
        "retrieval_scores": np.where(present[:, :, None], scores, np.float32(0)).astype(np.float32, copy=False),
    }


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
    distinct = np.empty_like(first)
    np.put_along_axis(distinct, order, first, axis=1)
    front = np.argsort(~distinct, axis=1, kind="stable")[:, : max(1, int(distinct.sum(1).max(initial=0)))]
    return np.take_along_axis(np.where(distinct, rows, -1), front, axis=1)


def sourced_candidates(scores: Sequence[NDArray[np.float32]], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Joins the best of every source, each candidate with the scores that all sources give it.

    Args:
        scores: of each source, (users, items) scores of the whole catalogue, -inf for what must not be listed.
        k: how many items each source lists.

    Returns:
        (users, n) rows as `union` orders them, -1 where there are fewer; and their (users, n, sources) scores, -inf
        where the row is -1.
    """
    if len(scores) == 1:
        rows, best = top_k(scores[0], k)
        return rows, best[:, :, None]
    rows = union([top_k(own, k)[0] for own in scores]).astype(np.int32)
    every = np.stack([np.take_along_axis(own, np.maximum(rows, 0), 1) for own in scores], 2)
    return rows, np.where(rows[:, :, None] < 0, np.float32(-np.inf), every)


def source_scores(
    rows: NDArray[np.integer[Any]],
    users: Sequence[NDArray[np.float32]],
    items: Sequence[NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Returns (users, n, sources): what every source says of each candidate, 0 where the row is -1.

    Args:
        rows: (users, n) catalogue rows, as `union` returns them.
        users: of each source, its (users, d) user vectors, or its (users, items) scores.
        items: of each source, its (items, d) item vectors; d is 0 where it has scores.
    """
    places = np.maximum(rows, 0)
    scores = [
        (table[places] @ vectors[:, :, None])[..., 0] if table.shape[1] else np.take_along_axis(vectors, places, 1)
        for vectors, table in zip(users, items, strict=True)
    ]
    return np.where(rows[..., None] < 0, np.float32(0), np.stack(scores, axis=-1))
