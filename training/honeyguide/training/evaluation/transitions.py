"""Counts what followed what: a graph of transitions that nobody trains, and what every sequence model must beat.

An event leads to those after it, the further away the less: the nth event from the next basket on adds
``decay ** (n - 1)``. What an item leads to is divided by the square root of how often either item occurs, so that
neither fame counts twice. A user's newest events vote for what comes next, each by its item's row:

    W[a, b] = Σ decay^(n - 1) over the times that b came n events after a, / sqrt(events of a · events of b)
    score(b) = Σ decay^j · W[a_j, b]        a_0 the newest event, a_1 the one before …

It is the directed, decayed form of item-to-item counts (Linden et al., 2003), as in sequential rules (Kamehkhosh et
al., 2017). The constants were set once, on MovieLens-1M's validation users; nothing is fitted to a data set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.history import HistoryBatch

__all__ = ["TransitionGraph"]

_WINDOW, _DECAY = 5, 0.7
"""How many events before a basket lead to it, and what each further one counts for."""
_NEWEST, _FADING = 10, 0.7
"""How many of a user's events vote, and what each older one counts for."""


class TransitionGraph:
    """Weighted, directed graph between items, of training events alone."""

    def __init__(self, training: HistoryBatch, items: int) -> None:
        """Counts; 20 million events of 27,000 items take half a minute on one core, and 1.5 GB.

        Args:
            training: the training histories.
            items: how many the catalogue has.
        """
        from scipy import sparse

        weights = sparse.csr_array((items, items), dtype=np.float32)
        user, before = _places(training)
        for gap in range(1, _WINDOW + 1):
            source = before - gap  # (events,) the gap-th event before the one's basket
            there = source >= training.offsets[user]
            pair = (training.items[source[there]], training.items[there])
            ones = np.full(len(pair[0]), _DECAY ** (gap - 1), np.float32)
            weights = weights + sparse.coo_array((ones, pair), shape=(items, items)).tocsr()
        events = np.bincount(training.items, minlength=items)
        scale = (1.0 / np.sqrt(np.maximum(events, 1))).astype(np.float32)
        scaled = sparse.diags_array(scale) @ weights @ sparse.diags_array(scale)
        self.weights: Any = scaled.tocsr()
        """(items, items) sparse; row a holds what a leads to."""

    def scores(self, histories: HistoryBatch) -> NDArray[np.float32]:
        """Returns the (users, items) scores of what comes next; 0 where nothing led there."""
        from scipy import sparse

        newest = histories.newest(_NEWEST)
        owners = np.repeat(np.arange(len(newest)), newest.lengths)
        age = newest.offsets[1:][owners] - 1 - np.arange(len(newest.items))  # 0 the newest
        votes = sparse.coo_array(
            ((_FADING**age).astype(np.float32), (owners, newest.items)), shape=(len(newest), self.weights.shape[0])
        )
        scores: NDArray[np.float32] = (votes.tocsr() @ self.weights).toarray()
        return scores


def _places(training: HistoryBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the (events,) user of each event, and the place where its basket begins."""
    user = np.repeat(np.arange(len(training)), training.lengths)
    begins = np.ones(len(user), bool)
    if training.times_ms is not None:  # events of one time are one basket, in no order
        begins[1:] = (user[1:] != user[:-1]) | (training.times_ms[1:] != training.times_ms[:-1])
    return user, np.maximum.accumulate(np.where(begins, np.arange(len(user)), 0))
