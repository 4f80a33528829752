"""Finds the best permitted items of a batch of users: over-fetches, filters, and is exact where that is short."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.candidates import top_k

__all__ = ["Found", "Limits", "Retriever", "popular"]

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
class Found:
    """Holds items of a batch of users, best first."""

    rows: Rows
    """(users, count) catalogue rows, -1 behind the last; no row twice for one user."""
    scores: Scores
    """(users, count), descending; -inf where rows is -1."""

    @classmethod
    def none(cls, users: int, count: int) -> Found:
        """Returns a batch in which nothing was found yet."""
        return cls(np.full((users, count), -1, np.int32), np.full((users, count), -np.inf, np.float32))


class Limits:
    """Says which items each user of a batch may get."""

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
        place = np.full(self.users, -1, np.int64)
        place[users] = np.arange(len(users))
        owner, row = np.divmod(self.forbidden, self.items)
        kept = place[owner] >= 0
        keys = place[owner[kept]] * self.items + row[kept]
        return Limits(len(users), self.items, keys, self.masks, self.mask_of[users])

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
                mine = self.mask_of[users] == number
                ok[mine] &= self.masks[number][rows[mine]]
        return ok


class Retriever:
    """Searches one bundle's item vectors by inner product."""

    def __init__(self, index: faiss.Index, vectors: Scores, *, exact: bool) -> None:
        """Takes the index and what is in it.

        Args:
            index: over the item vectors.
            vectors: (items, d) item vectors.
            exact: whether the index finds what an exact search finds.
        """
        self._index, self._vectors, self._exact = index, vectors, exact

    def search(self, users: Scores, limits: Limits, count: int) -> Found:
        """Returns the ``count`` best permitted items of (users, d) vectors, as many as there are."""
        found = Found.none(len(users), count)
        items = limits.items
        few = limits.allowed_counts <= _EXACT_ROWS
        short = [np.flatnonzero(few)]
        # As many as would do if what a filter allows and what is forbidden lay anywhere in the ranking; for what is
        # forbidden, at the very top: there lies what a user has seen.
        share = items / np.maximum(limits.allowed_counts, 1)
        need = np.minimum(limits.forbidden_counts + np.ceil(count * share), _MOST_FETCHED)
        fetch = np.minimum(2 ** np.ceil(np.log2(np.maximum(need, 1))), items).astype(np.int64)
        for size in np.unique(fetch[~few]):
            mine = np.flatnonzero(~few & (fetch == size))
            scores, rows = self._index.search(np.ascontiguousarray(users[mine]), int(size))
            kept = limits.permits(mine, rows)
            _place(found, mine, rows, scores, kept)
            if not (self._exact and size >= items):
                short.append(mine[kept.sum(1) < count])
        for number in np.unique(limits.mask_of[(exactly := np.concatenate(short))]):
            mine = exactly[limits.mask_of[exactly] == number]
            self._search_exactly(users, limits, mine, number, found)
        return found

    def search_exactly(self, users: Scores, limits: Limits, count: int, scale: Scores | None = None) -> Found:
        """Does as `search` by scoring every allowed item; ``scale`` (items,) multiplies the scores."""
        found = Found.none(len(users), count)
        for number in np.unique(limits.mask_of):
            self._search_exactly(users, limits, np.flatnonzero(limits.mask_of == number), number, found, scale)
        return found

    def _search_exactly(
        self, users: Scores, limits: Limits, mine: Users, number: int, found: Found, scale: Scores | None = None
    ) -> None:
        """Fills ``found`` for the users ``mine``, who all have mask ``number``."""
        everything = number < 0
        allowed = np.arange(limits.items) if everything else np.flatnonzero(limits.masks[number])
        if not allowed.size:
            return
        vectors = self._vectors if everything else self._vectors[allowed]  # (allowed, d)
        count = min(found.rows.shape[1], len(allowed))
        step = max(1, _CHUNK // len(allowed))
        for part in (mine[start : start + step] for start in range(0, len(mine), step)):
            scores = users[part] @ vectors.T  # (part, allowed)
            if scale is not None:
                scores *= scale[allowed]
            owner, row = np.divmod(limits.take(part).forbidden, limits.items)
            if not everything:
                place = np.minimum(np.searchsorted(allowed, row), len(allowed) - 1)
                inside = allowed[place] == row
                owner, row = owner[inside], place[inside]
            scores[owner, row] = -np.inf
            columns, best = top_k(scores, count)
            _place(found, part, allowed[columns], best, columns >= 0)


def popular(order: Rows, limits: Limits, counts: NDArray[np.integer]) -> Rows:
    """Returns (users, largest count) of the most popular permitted rows.

    Args:
        order: (items,) rows, the most popular first.
        limits: of these users.
        counts: (users,) how many each needs; the places behind are -1.
    """
    count = int(counts.max(initial=0))
    rows = np.full((limits.users, count), -1, np.int32)
    found = Found(rows, np.empty(rows.shape, np.float32))
    for number in np.unique(limits.mask_of[counts > 0]):
        allowed = order if number < 0 else order[limits.masks[number][order]]
        mine = np.flatnonzero((limits.mask_of == number) & (counts > 0))
        # The forbidden can all lie at the top, and no deeper: with so many more, nobody comes out short.
        depth = min(len(allowed), count + int(limits.forbidden_counts[mine].max()))
        step = max(1, _CHUNK // max(depth, 1))
        for part in (mine[start : start + step] for start in range(0, len(mine), step)):
            candidates = np.broadcast_to(allowed[:depth], (len(part), depth))
            kept = limits.permits(part, candidates)
            _place(found, part, candidates, np.zeros(candidates.shape, np.float32), kept)
    rows[np.arange(count) >= counts[:, None]] = -1
    return rows


def _place(
    found: Found, users: Users, rows: NDArray[np.integer], scores: NDArray[np.floating], kept: NDArray[np.bool_]
) -> None:
    """Overwrites the users' places with what is kept of (m, n) rows, closed up, in their order."""
    count = found.rows.shape[1]
    place = np.cumsum(kept, axis=1) - 1
    kept = kept & (place < count)
    m, n = np.nonzero(kept)
    found.rows[users] = -1
    found.scores[users] = -np.inf
    found.rows[users[m], place[m, n]] = rows[m, n]
    found.scores[users[m], place[m, n]] = scores[m, n]
