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

__all__ = ["TABLES", "TRENDS", "Evidence", "Table", "item_evidence", "item_trends"]

Long = NDArray[np.int64]
Floats = NDArray[np.float64]

_EVENTS = 1 << 15  # whose pairs are counted at a time: up to 40 each, which take some 100 MB


@dataclass(frozen=True, slots=True)
class Table:
    """Kind of evidence that item j comes after item i."""

    name: str
    lags: Mapping[int, float]
    """How many events j comes after i (negative: before), and what such a pair counts for."""
    doubt: float
    """k, in pairs."""
    strength: float
    """The weight of its counts in choosing the neighbours."""
    directed: bool = True
    """Whether items of one basket (equal times) are no pair, as neither followed the other."""

    def weights(self, room: int) -> Floats:
        """Returns the (2 · room + 1,) weights of the lags from ``-room`` on."""
        return np.array([self.lags.get(lag, 0.0) for lag in range(-room, room + 1)])


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
    """Strongest neighbours of each item."""

    neighbours: NDArray[np.int32]
    """(items, width) tokens (row + 1), 0 where there are fewer."""
    lifts: NDArray[np.float32]
    """(items, width, tables) shrunk log-lifts, 0 or more."""


def item_evidence(histories: HistoryBatch, items: int, width: int) -> Evidence:
    """Counts all pairs within 20 events of one user, and keeps ``width`` (at most ``items``) neighbours of each item.

    Takes time for events × lags, and memory for items × width.
    """
    log = _Log.of(histories)
    chance = log.totals(items)  # (tables, items) n_·j / n
    chance /= np.maximum(chance.sum(1, keepdims=True), 1.0)
    strengths = np.array([table.strength for table in TABLES])
    order = np.argsort(histories.items, kind="stable")  # all events of an item in one block
    ends = np.cumsum(np.bincount(histories.items, minlength=items))
    neighbours = np.zeros((items, width), np.int32)
    lifts = np.zeros((items, width, len(TABLES)), np.float32)
    first = 0
    while first < items:
        begin = int(ends[first - 1]) if first else 0
        stop = max(int(np.searchsorted(ends, begin + _EVENTS, "right")), first + 1)
        rows, others, counts = log.pairs(order[begin : ends[stop - 1]], items)
        pair_lifts = np.stack(
            [_lift(counts[t], rows - first, chance[t, others], table.doubt) for t, table in enumerate(TABLES)]
        )
        strength = strengths @ counts + 1e-3 * pair_lifts.sum(0)  # lifts decide among the many that never came near
        best = np.lexsort((-strength, rows))
        ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)  # rows ascend, before and after
        stay = (ranks < width) & (strength[best] > 0)
        best, ranks = best[stay], ranks[stay]
        neighbours[rows[best], ranks] = others[best] + 1
        lifts[rows[best], ranks] = pair_lifts[:, best].T
        first = stop
    return Evidence(neighbours, lifts)


def _lift(counts: Floats, rows: Long, chance: Floats, doubt: float) -> Floats:
    """Returns the (pairs,) shrunk log-lifts; ``counts`` are all those of the ``rows``, ``chance`` is n_·j / n."""
    expected = np.bincount(rows, counts)[rows] * chance
    lifts: Floats = np.maximum(np.log((counts + doubt) / (expected + doubt)), 0.0)
    return lifts


TRENDS = 2
"""Columns of `item_trends`."""

_DAY_MS = 86_400_000
_LATE = 0.1  # the newest share of all events
_TREND_DOUBT = 5.0  # events


def item_trends(histories: HistoryBatch, items: int) -> NDArray[np.float32]:
    """Returns how each item stood at the end of a log with times.

    Returns:
        (items, 2): the shrunk log-lift of its share in the newest tenth of all events over its share in all of them,
        above 0 where it gains; and log(1 + days) since its last event, or since the first one of all where it has none.
        Zeros where no event has a time.
    """
    times = histories.times_ms
    if times is None or not len(times):
        return np.zeros((items, TRENDS), np.float32)
    late = times >= np.quantile(times, 1.0 - _LATE)
    met = np.bincount(histories.items, minlength=items)
    met_late = np.bincount(histories.items[late], minlength=items)
    last = np.full(items, times.min())
    np.maximum.at(last, histories.items, times)
    trend = np.log((met_late + _TREND_DOUBT) / (met * late.mean() + _TREND_DOUBT))
    return np.stack([trend, np.log1p((times.max() - last) / _DAY_MS)], 1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Log:
    """Flat events with room at both ends, so that no lag leads outside."""

    items: Long
    users: Long
    baskets: Long
    """The number of the event's basket: events of one user with equal times are in one."""
    _room: int

    @classmethod
    def of(cls, histories: HistoryBatch) -> _Log:
        users = np.repeat(np.arange(len(histories)), histories.lengths)
        baskets = np.arange(len(users))
        if histories.times_ms is not None and len(users):
            baskets = np.cumsum(np.diff(histories.times_ms, prepend=histories.times_ms[0]) != 0)
        room = max(abs(lag) for table in TABLES for lag in table.lags)
        columns = (np.pad(column, room, constant_values=-1) for column in (histories.items, users, baskets))
        items, users, baskets = (column.astype(np.int64) for column in columns)
        return cls(items, users, baskets, room)

    def pairs(self, events: Long, items: int) -> tuple[Long, Long, Floats]:
        """Counts what stands around some events.

        Returns:
            (pairs,) rows of these events' items, ascending; (pairs,) rows of the others; and (tables, pairs) counts.
        """
        here = events + self._room
        keys, lags, apart = [], [], []
        for lag in range(-self._room, self._room + 1):
            near = here[self.users[here] == self.users[here + lag]] if lag else here[:0]
            keys.append(self.items[near] * items + self.items[near + lag])
            lags.append(np.full(len(near), lag + self._room, np.int8))
            apart.append(self.baskets[near] != self.baskets[near + lag])
        distinct, pair = np.unique(np.concatenate(keys), return_inverse=True)
        lag_of, apart_of = np.concatenate(lags), np.concatenate(apart)
        counts = [
            np.bincount(pair, table.weights(self._room)[lag_of] * (apart_of | (not table.directed)), len(distinct))
            for table in TABLES
        ]
        return *np.divmod(distinct, items), np.stack(counts)

    def totals(self, items: int) -> Floats:
        """Counts pairs by their second item, (tables, items)."""
        totals = np.zeros((len(TABLES), items))
        here = np.arange(len(self.items) - 2 * self._room) + self._room
        for place, table in enumerate(TABLES):
            for lag, weight in table.lags.items():
                paired = self.users[here + lag] == self.users[here]
                if table.directed:
                    paired &= self.baskets[here + lag] != self.baskets[here]
                totals[place] += weight * np.bincount(self.items[here + lag][paired], minlength=items)
        return totals
