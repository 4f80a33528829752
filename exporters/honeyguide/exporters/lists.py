"""Makes lists of candidates as serving makes them, and ranks targets among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.history import EvaluationSet

__all__ = ["Retrieve", "ranks_among", "sample", "search"]

USERS = 10_000
"""How many validation users are ranked in full; more are sampled evenly, as the figure no longer moves."""

Floats = NDArray[np.float32]
Rows = NDArray[np.integer[Any]]
Retrieve = Callable[[HistoryBatch, int], tuple[Rows, Floats]]
"""Maps histories and a count to (users, n) candidate rows, best first, -1 where there are fewer, and their
(users, n, sources) retrieval scores."""


def sample(evaluation: EvaluationSet) -> NDArray[np.int64]:
    """Returns which users a proof ranks for."""
    return np.unique(np.linspace(0, len(evaluation) - 1, min(len(evaluation), USERS)).astype(np.int64))


def search(index: Any, queries: Floats, masked: Floats, count: int, seen: HistoryBatch) -> tuple[Rows, Floats]:
    """Searches the index and drops what ``masked`` (users, items) has at -inf; shaped as `top_k`'s answer."""
    wide = min(count + int(seen.lengths.max()), index.ntotal)  # enough even if everything seen comes first
    best, rows = index.search(queries, wide)
    dropped = (rows < 0) | np.isneginf(np.take_along_axis(masked, np.maximum(rows, 0), axis=1))
    order = np.argsort(dropped, axis=1, kind="stable")[:, :count]
    dropped, rows, best = (np.take_along_axis(column, order, axis=1) for column in (dropped, rows, best))
    return np.where(dropped, -1, rows), np.where(dropped, -np.inf, best)


def ranks_among(rows: Rows, scores: Floats, target_users: Rows, targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Ranks targets among (users, n) listed rows as `target_ranks` does; inf where a target is not listed."""
    listed = rows[target_users] == targets[:, None]  # (targets, n)
    own = np.where(listed, scores[target_users], -np.inf).max(1, keepdims=True)
    theirs = scores[target_users]
    ranks = (theirs > own).sum(1) + ((theirs == own).sum(1) + 1) / 2.0
    return np.where(listed.any(1), ranks, np.inf)
