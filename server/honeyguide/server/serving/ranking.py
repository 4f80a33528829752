"""Ranks what one retriever found, or several, for a batch of users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.candidates import source_scores, union
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.retrieval import Found
from honeyguide.server.serving.encoding import EncodedUsers

__all__ = ["inner_products", "ranked", "reordered"]

Rows = NDArray[np.int32]
Scores = NDArray[np.float32]

_CELLS = 1 << 22
"""Numbers of the item vectors looked up at once, 16 MB: they are one vector for each user and candidate."""


def reordered(bundle: LoadedBundle, users: EncodedUsers, lists: Sequence[Found], candidates: int) -> Found:
    """Returns the candidates of all the bundle's retrievers in its ranker's order.

    Args:
        bundle: ranks.
        users: who is answered.
        lists: what each retriever found: its candidates, and behind those of the first what is wanted more.
        candidates: how many each retriever gives.

    Returns:
        (users, n) ranked candidates; behind them the rest of the first list, in its order.
    """
    first = lists[0]
    rows, scores = first.rows[:, :candidates], first.scores[:, :candidates]
    if len(lists) == 1:  # it has scored them already
        sources = scores[:, :, None]
    else:
        rows = union([rows, *(found.rows[:, :candidates] for found in lists[1:])]).astype(np.int32)
        sources = inner_products(bundle.retrievers, users, rows)
    best = ranked(bundle, users, rows, sources)
    if first.rows.shape[1] <= candidates:
        return best
    return _followed(best, first, candidates, len(bundle.catalogue))


def ranked(bundle: LoadedBundle, users: EncodedUsers, rows: Rows, sources: Scores) -> Found:
    """Returns (users, n) rows in the ranker's order, -1 at the end; raises what the ranker, a plugin's graph, raises.

    Args:
        bundle: ranks.
        users: who is answered.
        rows: (users, n) candidates, -1 where there are fewer.
        sources: (users, n, retrievers) the score of each by every retriever; what stands where rows is -1 counts for
            nothing.
    """
    present = rows >= 0
    scores = bundle.rank(users.arrays(bundle), rows, sources)
    if scores.shape != present.shape or not np.isfinite(scores[present]).all():
        raise ValueError("the ranker's scores are not finite or of another shape")
    scores = np.where(present, scores, np.float32(-np.inf))
    order = np.argsort(-scores, axis=1, kind="stable")
    return Found(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))


def inner_products(retrievers: Sequence[RetrievingBundle], users: EncodedUsers, rows: Rows) -> Scores:
    """Returns (users, n, retrievers): what each retriever says of every candidate, whoever found it; 0 at -1."""
    vectors, tables = [users.vectors(r) for r in retrievers], [r.item_vectors for r in retrievers]
    step = max(1, _CELLS // max(1, rows.shape[1] * max(table.shape[1] for table in tables)))
    parts = [slice(start, start + step) for start in range(0, len(rows), step)]
    return np.concatenate([source_scores(rows[part], [v[part] for v in vectors], tables) for part in parts])


def _followed(best: Found, first: Found, candidates: int, items: int) -> Found:
    """Puts behind the ranked what the first retriever found beyond its candidates, and what is not among them."""
    rows, scores = first.rows[:, candidates:].copy(), first.scores[:, candidates:]
    base = np.arange(len(rows))[:, None] * np.int64(items)
    rows[np.isin(base + rows, (base + best.rows)[best.rows >= 0])] = -1
    # Shifted so that the retrieval's scores go on where the ranker's end: one answer, one scale.
    lowest = np.where(best.rows >= 0, best.scores, np.inf).min(1)
    full = first.rows[:, candidates - 1] >= 0  # for the others nothing comes behind
    shift = np.zeros((len(rows), 1), np.float32)
    shift[full, 0] = lowest[full] - first.scores[full, candidates - 1]
    scores = np.where(rows >= 0, scores + shift, np.float32(-np.inf))
    order = np.argsort(rows < 0, axis=1, kind="stable")
    return Found(
        np.concatenate([best.rows, np.take_along_axis(rows, order, 1)], axis=1),
        np.concatenate([best.scores, np.take_along_axis(scores, order, 1)], axis=1),
    )
