"""Retrieves the best permitted items of a batch of users: over-fetches, filters, and is exact where that is short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.candidates import top_k

__all__ = ["Candidates", "ExactSearch", "IndexSearch", "Limits", "Retriever", "most_popular"]

Rows = NDArray[np.int32]
Scores = NDArray[np.float32]
Users = NDArray[np.intp]

_EXACT_ROWS = 8192
"""Where a user may get no more items than this, all of them are scored: cheaper than searching and never short.

What a user has seen is fetched from the index on top, hundreds of items; `benchmarks/serve.py` measures both ways.
"""
_MOST_FETCHED = 4096
"""Rows asked from the index for one user at most; whoever still comes out short is searched exactly."""
_CHUNK = 1 << 22
"""Cells of the largest (users, items) array: 16 MB of scores at a time."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items of a batch of users, best first."""

    rows: Rows
    """(users, count) catalogue rows, -1 behind the last; no row twice for one user."""
    scores: Scores
    """(users, count), descending; -inf where rows is -1."""

    @classmethod
    def none(cls, users: int, count: int) -> Candidates:
        """Returns a batch of users who have none yet."""
        return cls(np.full((users, count), -1, np.int32), np.full((users, count), -np.inf, np.float32))

    def spread(self, places: Users, users: int, count: int) -> Candidates:
        """Returns a batch of ``users`` and at least ``count`` columns, whose users at ``places`` have these items."""
        width = self.rows.shape[1]
        if len(places) == users and width >= count:
            return self
        spread = Candidates.none(users, max(width, count))
        spread.rows[places, :width], spread.scores[places, :width] = self.rows, self.scores
        return spread


class Limits:
    """Items that each user of a batch may get."""

    def __init__(
        self,
        users: int,
        items: int,
        forbidden: NDArray[np.int64],
        masks: tuple[NDArray[np.bool_], ...] = (),
        mask_of: NDArray[np.intp] | None = None,
    ) -> None:
        """Takes the limits as they come.

        Args:
            users: how many users.
            items: how many items the catalogue has.
            forbidden: keys (user * items + row) of items a user may not get, in any order.
            masks: (items,) masks of allowed items.
            mask_of: (users,) the mask of each user, -1: every item is allowed; None: so for all.
        """
        self.users, self.items, self.masks = users, items, masks
        keys = np.sort(forbidden)  # np.unique hashes; sorting is faster, and sorted is what is needed
        self.forbidden = keys[np.diff(keys, prepend=-1) > 0]
        """Sorted keys, without duplicates."""
        self.mask_of = np.full(users, -1, np.intp) if mask_of is None else mask_of
        self.forbidden_counts = np.bincount(self.forbidden // items, minlength=users)
        sizes = np.array([*(int(mask.sum()) for mask in masks), items], np.int64)
        self.allowed_counts = sizes[self.mask_of]  # -1 is the last: all items

    def take(self, users: Users) -> Limits:
        """Returns the limits of the given users alone, in the given order, without duplicates."""
        owner, row = self.forbidden_of(users)
        return Limits(len(users), self.items, owner * self.items + row, self.masks, self.mask_of[users])

    def forbidden_of(self, users: Users) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns what the given users may not get: place among ``users`` and row, of each pair."""
        place = np.full(self.users, -1, np.int64)
        place[users] = np.arange(len(users))
        owner, row = np.divmod(self.forbidden, self.items)
        inside = place[owner] >= 0
        return place[owner[inside]], row[inside]

    def without(self, rows: Rows) -> Limits:
        """Returns limits that also forbid each user's (users, n) rows; -1 is no row."""
        user, column = np.nonzero(rows >= 0)
        keys = user * np.int64(self.items) + rows[user, column]
        return Limits(self.users, self.items, np.concatenate([self.forbidden, keys]), self.masks, self.mask_of)

    def permits(self, users: Users, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Returns (m, n): whether each of m users may get each of its n rows; never a row below 0."""
        ok = rows >= 0
        if self.forbidden.size:
            keys = users[:, None] * np.int64(self.items) + rows
            place = np.searchsorted(self.forbidden, keys)
            np.minimum(place, self.forbidden.size - 1, out=place)
            ok &= self.forbidden[place] != keys
        for number in np.unique(self.mask_of[users]):
            if number >= 0:
                masked = self.mask_of[users] == number
                ok[masked] &= self.masks[number][rows[masked]]
        return ok


class Retriever(Protocol):
    """Search of one bundle's items by inner product."""

    def search(self, vectors: Scores, limits: Limits, count: int) -> Candidates:
        """Returns the ``count`` best permitted items of (users, d) vectors, as many as there are."""
        ...  # pragma: no cover


class ExactSearch:
    """Search that scores every permitted item: never short, whatever the limits."""

    def __init__(self, items: Scores, scale: Scores | None = None) -> None:
        """Takes what it searches.

        Args:
            items: (items, d) item vectors.
            scale: (items,) what an item's scores are multiplied by; None: nothing.
        """
        self._items, self._scale = items, scale

    def search(self, vectors: Scores, limits: Limits, count: int) -> Candidates:
        """Returns the ``count`` best permitted items of (users, d) vectors, as many as there are."""
        candidates = Candidates.none(len(vectors), count)
        self.fill(candidates, vectors, limits, np.arange(len(vectors)))
        return candidates

    def fill(self, candidates: Candidates, vectors: Scores, limits: Limits, users: Users) -> None:
        """Searches for some users of a batch alone, and overwrites their candidates."""
        for number in np.unique(limits.mask_of[users]):
            self._fill(candidates, vectors, limits, users[limits.mask_of[users] == number], number)

    def _fill(self, candidates: Candidates, vectors: Scores, limits: Limits, users: Users, number: int) -> None:
        """Does as `fill` for users who all have mask ``number``."""
        everything = number < 0
        allowed = np.arange(limits.items) if everything else np.flatnonzero(limits.masks[number])
        if not allowed.size:
            return
        items = self._items if everything else self._items[allowed]  # (allowed, d)
        count = min(candidates.rows.shape[1], len(allowed))
        size = max(1, _CHUNK // len(allowed))
        for chunk in (users[start : start + size] for start in range(0, len(users), size)):
            scores = vectors[chunk] @ items.T  # (chunk, allowed)
            if self._scale is not None:
                scores *= self._scale[allowed]
            owner, row = limits.forbidden_of(chunk)
            if not everything:
                place = np.minimum(np.searchsorted(allowed, row), len(allowed) - 1)
                inside = allowed[place] == row
                owner, row = owner[inside], place[inside]
            scores[owner, row] = -np.inf
            columns, best = top_k(scores, count)
            _place(candidates, chunk, allowed[columns], best, columns >= 0)


class IndexSearch:
    """Search of a FAISS index; users whom the index leaves short, or who may get few items, are searched exactly."""

    def __init__(self, index: faiss.Index, exact: ExactSearch, *, complete: bool) -> None:
        """Takes the index and what makes up for it.

        Args:
            index: over the item vectors.
            exact: over the same.
            complete: whether the index finds what an exact search finds.
        """
        self.index = index
        self._exact, self._complete = exact, complete

    def search(self, vectors: Scores, limits: Limits, count: int) -> Candidates:
        """Returns the ``count`` best permitted items of (users, d) vectors, as many as there are."""
        candidates = Candidates.none(len(vectors), count)
        items = limits.items
        few = limits.allowed_counts <= _EXACT_ROWS
        short = [np.flatnonzero(few)]
        # As many as would do if what a filter allows and what is forbidden lay anywhere in the ranking; for what is
        # forbidden, at the very top: there lies what a user has seen.
        share = items / np.maximum(limits.allowed_counts, 1)
        need = np.minimum(limits.forbidden_counts + np.ceil(count * share), _MOST_FETCHED)
        fetch = np.minimum(2 ** np.ceil(np.log2(np.maximum(need, 1))), items).astype(np.int64)
        for size in np.unique(fetch[~few]):
            users = np.flatnonzero(~few & (fetch == size))
            scores, rows = self.index.search(np.ascontiguousarray(vectors[users]), int(size))
            permitted = limits.permits(users, rows)
            _place(candidates, users, rows, scores, permitted)
            if not (self._complete and size >= items):
                short.append(users[permitted.sum(1) < count])
        self._exact.fill(candidates, vectors, limits, np.concatenate(short))
        return candidates


def most_popular(order: Rows, limits: Limits, counts: NDArray[np.integer]) -> Rows:
    """Returns (users, largest count) of the most popular permitted rows.

    Args:
        order: (items,) rows, the most popular first.
        limits: of these users.
        counts: (users,) how many each needs; the places behind are -1.
    """
    count = int(counts.max(initial=0))
    rows = np.full((limits.users, count), -1, np.int32)
    popular = Candidates(rows, np.empty(rows.shape, np.float32))
    for number in np.unique(limits.mask_of[counts > 0]):
        allowed = order if number < 0 else order[limits.masks[number][order]]
        users = np.flatnonzero((limits.mask_of == number) & (counts > 0))
        # The forbidden can all lie at the top, and no deeper: with so many more, nobody comes out short.
        depth = min(len(allowed), count + int(limits.forbidden_counts[users].max()))
        size = max(1, _CHUNK // max(depth, 1))
        for chunk in (users[start : start + size] for start in range(0, len(users), size)):
            top = np.broadcast_to(allowed[:depth], (len(chunk), depth))
            _place(popular, chunk, top, np.zeros(top.shape, np.float32), limits.permits(chunk, top))
    rows[np.arange(count) >= counts[:, None]] = -1
    return rows


def _place(
    candidates: Candidates,
    users: Users,
    rows: NDArray[np.integer],
    scores: NDArray[np.floating],
    permitted: NDArray[np.bool_],
) -> None:
    """Overwrites the users' candidates with the permitted ones of (m, n) rows, closed up, in their order."""
    place = np.cumsum(permitted, axis=1) - 1
    m, n = np.nonzero(permitted & (place < candidates.rows.shape[1]))
    candidates.rows[users] = -1
    candidates.scores[users] = -np.inf
    candidates.rows[users[m], place[m, n]] = rows[m, n]
    candidates.scores[users[m], place[m, n]] = scores[m, n]
