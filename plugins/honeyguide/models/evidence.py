"""Counts which item followed which, and keeps each item's strongest neighbours: evidence for a ranker.

Directional item-item counts are the oldest sequential recommender there is: a Markov chain over items with decayed
windows (Shani, Heckerman & Brafman, "An MDP-based recommender system", JMLR 2005). A count is turned into a shrunk
log-lift, ``max(0, log((n_ij + k) / (n_i· n_·j / n + k)))``: how much more often than by chance, with k pseudo-counts of
doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import HistoryBatch

__all__ = ["TABLES", "Evidence", "Table", "item_evidence"]

Long = NDArray[np.int64]
Matrix = NDArray[np.float64]

_CELLS = 1 << 21  # (items × items) cells counted at a time: 16 MB a table, whatever the catalogue's size


@dataclass(frozen=True, slots=True)
class Table:
    """Describes one kind of evidence that item j comes after item i."""

    name: str
    lags: Mapping[int, float]
    """How many events j comes after i (negative: before), and what such a pair counts for."""
    doubt: float
    """k, in pairs."""
    strength: float
    """The weight of its counts in choosing the neighbours that are kept."""
    directed: bool = True
    """Whether items of one step (equal times) are no pair, as neither followed the other."""


TABLES = (
    Table("next", {1: 1.0}, 1.0, 1.0),
    Table("soon", {lag: 0.7 ** (lag - 2) for lag in range(2, 6)}, 2.0, 1.0),
    Table("later", {lag: 0.9 ** (lag - 6) for lag in range(6, 21)}, 4.0, 0.0),
    Table("before", {-lag: 0.7 ** (lag - 1) for lag in range(1, 6)}, 2.0, 0.5),
    Table("together", {lag: 1.0 for lag in range(-20, 21) if lag}, 10.0, 0.0, directed=False),
)
"""The evidence, one column of `Evidence.lifts` each."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Holds each item's strongest neighbours."""

    neighbours: NDArray[np.int32]
    """(items, kept) tokens (row + 1), 0 where there are fewer."""
    lifts: NDArray[np.float32]
    """(items, kept, tables) shrunk log-lifts, 0 or more."""


def item_evidence(histories: HistoryBatch, items: int, kept: int) -> Evidence:
    """Counts all pairs within 20 events of one user, and keeps ``kept`` (at most ``items``) neighbours of each item.

    Takes time for events × lags and for items², and memory for items × kept.
    """
    log = _Log.of(histories)
    targets = [log.totals(table, items) for table in TABLES]  # n_·j of each
    order = np.argsort(histories.items, kind="stable")
    bounds = np.searchsorted(histories.items[order], np.arange(items + 1))
    neighbours = np.zeros((items, kept), np.int32)
    lifts = np.zeros((items, kept, len(TABLES)), np.float32)
    size = max(_CELLS // items, 1)
    for start in range(0, items, size):
        rows = slice(start, min(start + size, items))
        events = order[bounds[rows.start] : bounds[rows.stop]]
        found = np.empty((rows.stop - rows.start, items, len(TABLES)), np.float32)
        strength = np.zeros(found.shape[:2])
        for column, (table, total) in enumerate(zip(TABLES, targets, strict=True)):
            counts = log.counts(table, events, rows, items)
            found[:, :, column] = _lift(counts, total, table.doubt)
            strength += table.strength * counts
        strength += 1e-3 * found.sum(2)  # decides among the many that never came near
        best = np.argpartition(-strength, kept - 1, axis=1)[:, :kept]
        some = np.take_along_axis(strength, best, 1) > 0
        neighbours[rows] = np.where(some, best + 1, 0)
        lifts[rows] = np.take_along_axis(found, best[:, :, None], 1) * some[:, :, None]
    return Evidence(neighbours, lifts)


def _lift(counts: Matrix, targets: NDArray[np.float64], doubt: float) -> Matrix:
    """Returns the (rows, items) shrunk log-lifts of counts; ``targets`` are n_·j over the whole log."""
    expected = counts.sum(1, keepdims=True) * (targets / max(targets.sum(), 1.0))
    lifts: Matrix = np.maximum(np.log((counts + doubt) / (expected + doubt)), 0.0)
    return lifts


@dataclass(frozen=True, slots=True)
class _Log:
    """Holds flat events with room at both ends, so that no lag leads outside."""

    items: Long
    users: Long
    steps: Long
    room: int

    @classmethod
    def of(cls, histories: HistoryBatch) -> _Log:
        users = np.repeat(np.arange(len(histories)), histories.lengths)
        steps = np.arange(len(users))
        if histories.time_ms is not None and len(users):
            steps = np.cumsum(np.diff(histories.time_ms, prepend=histories.time_ms[0]) != 0)
        room = max(abs(lag) for table in TABLES for lag in table.lags)
        columns = (np.pad(column, room, constant_values=-1) for column in (histories.items, users, steps))
        items, users, steps = (column.astype(np.int64) for column in columns)
        return cls(items, users, steps, room)

    def partners(self, events: Long, lag: int, *, directed: bool) -> tuple[NDArray[np.bool_], Long]:
        """Returns which events have a partner ``lag`` events after them, and the items of all who stand there."""
        here = events + self.room
        there = here + lag
        paired = self.users[there] == self.users[here]
        if directed:
            paired &= self.steps[there] != self.steps[here]
        return paired, self.items[there]

    def counts(self, table: Table, events: Long, rows: slice, items: int) -> Matrix:
        """Counts pairs whose first item is in ``rows``; ``events`` are all of those. Returns (rows, items)."""
        counts = np.zeros((rows.stop - rows.start) * items)
        keys = (self.items[events + self.room] - rows.start) * items
        for lag, weight in table.lags.items():
            paired, others = self.partners(events, lag, directed=table.directed)
            counts += weight * np.bincount((keys + others)[paired], minlength=len(counts))
        return counts.reshape(-1, items)

    def totals(self, table: Table, items: int) -> NDArray[np.float64]:
        """Counts pairs by their second item, (items,)."""
        totals = np.zeros(items)
        events = np.arange(len(self.items) - 2 * self.room)
        for lag, weight in table.lags.items():
            paired, others = self.partners(events, lag, directed=table.directed)
            totals += weight * np.bincount(others[paired], minlength=items)
        return totals
