"""Ranks the candidates of one retriever, or of several, for a batch of users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.candidates import source_scores, union
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.retrieval import Candidates
from honeyguide.server.serving.encoding import EncodedUsers
from honeyguide.server.serving.plan import Plan

__all__ = ["rank_candidates", "rank_lists", "score_by_retrievers", "sort_candidates"]

Rows = NDArray[np.int32]
Scores = NDArray[np.float32]

_CELLS = 1 << 22
"""Numbers of the item vectors looked up at once, 16 MB: they are one vector for each user and candidate."""


def rank_lists(ranker: LoadedBundle, plan: Plan, users: EncodedUsers, lists: Sequence[Candidates]) -> Candidates:
    """Returns the candidates of all retrievers in the ranker's order.

    Args:
        ranker: the plan's.
        plan: says how many candidates each retriever gives.
        users: who is answered.
        lists: of each retriever, its candidates; behind those of the first come items that fill a longer answer.

    Returns:
        (users, n) ranked candidates; behind them the rest of the first list, in its order.
    """
    first, count = lists[0], plan.candidate_count
    rows, scores = first.rows[:, :count], first.scores[:, :count]
    if len(lists) == 1:  # it has scored them already
        sources = scores[:, :, None]
    else:
        rows = union([rows, *(candidates.rows[:, :count] for candidates in lists[1:])]).astype(np.int32)
        sources = score_by_retrievers(plan.retrievers, users, rows)
    ranking = rank_candidates(ranker, users, rows, sources)
    if first.rows.shape[1] <= count:
        return ranking
    return _append(ranking, first, count, len(plan.bundle.catalogue))


def rank_candidates(ranker: LoadedBundle, users: EncodedUsers, rows: Rows, sources: Scores) -> Candidates:
    """Returns (users, n) rows in the ranker's order, -1 at the end; raises what the ranker, a plugin's graph, raises.

    Args:
        ranker: ranks.
        users: who is answered.
        rows: (users, n) candidates, -1 where there are fewer.
        sources: (users, n, retrievers) the score of each by every retriever; what stands where rows is -1 counts for
            nothing.
    """
    present = rows >= 0
    scores = ranker.rank(users.arrays(ranker), rows, sources, users.limit)
    if scores.shape != present.shape or not np.logical_and.reduce(np.isfinite(scores) >= present, None):
        raise ValueError("the ranker's scores are not finite or of another shape")
    return sort_candidates(rows, np.where(present, scores, np.float32(-np.inf)))


def sort_candidates(rows: Rows, scores: Scores) -> Candidates:
    """Returns (users, n) rows with the best score first; the score of -1, no row, is -inf."""
    below = -scores
    first = np.arange(len(rows))[:, None] * rows.shape[1]
    order = below.argsort(1) + first
    best = scores.take(order)
    if np.logical_or.reduce(best[:, 1:] == best[:, :-1], None):  # rare: only then the slower, stable sort
        order = below.argsort(1, "stable") + first
        best = scores.take(order)
    return Candidates(rows.take(order), best)


def score_by_retrievers(retrievers: Sequence[RetrievingBundle], users: EncodedUsers, rows: Rows) -> Scores:
    """Returns (users, n, retrievers): what each retriever says of every candidate, whoever gave it; 0 at -1."""
    vectors, tables = [users.vectors(r) for r in retrievers], [r.item_vectors for r in retrievers]
    size = max(1, _CELLS // max(1, rows.shape[1] * max(table.shape[1] for table in tables)))
    chunks = [slice(start, start + size) for start in range(0, len(rows), size)]
    return np.concatenate([source_scores(rows[chunk], [v[chunk] for v in vectors], tables) for chunk in chunks])


def _append(ranking: Candidates, first: Candidates, count: int, items: int) -> Candidates:
    """Puts behind the ranked what the first retriever has beyond its ``count``, and what is not among them."""
    rows, scores = first.rows[:, count:].copy(), first.scores[:, count:]
    base = np.arange(len(rows))[:, None] * np.int64(items)
    rows[np.isin(base + rows, (base + ranking.rows)[ranking.rows >= 0])] = -1
    # Shifted so that the retrieval's scores go on where the ranker's end: one answer, one scale.
    lowest = np.where(ranking.rows >= 0, ranking.scores, np.inf).min(1)
    full = first.rows[:, count - 1] >= 0  # for the others nothing comes behind
    shift = np.zeros((len(rows), 1), np.float32)
    shift[full, 0] = lowest[full] - first.scores[full, count - 1]
    scores = np.where(rows >= 0, scores + shift, np.float32(-np.inf))
    order = np.argsort(rows < 0, axis=1, kind="stable")
    return Candidates(
        np.concatenate([ranking.rows, np.take_along_axis(rows, order, 1)], axis=1),
        np.concatenate([ranking.scores, np.take_along_axis(scores, order, 1)], axis=1),
    )
