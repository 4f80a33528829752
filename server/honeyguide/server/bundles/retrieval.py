"""Retrieves the best permitted items of a batch of users: over-fetches, filters, and is exact where that is short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.candidates import top_k

__all__ = [
    "Candidates",
    "ExactSearch",
    "GivenScores",
    "IndexSearch",
    "Limits",
    "Retriever",
    "list_permitted",
    "most_popular",
]

Rows = NDArray[np.int32]
Keys = NDArray[np.int64]
Counts = NDArray[np.integer]
Scores = NDArray[np.float32]
Users = NDArray[np.intp]

_EXACT_ROWS = 8192
"""Where a user may get no more items than this, all of them are scored: cheaper than searching and never short.

What a user has seen is fetched from the index on top, hundreds of items; `benchmarks/serve.py` measures both ways.
"""
_COLUMNS_UP_TO = 50_000
"""Items of the largest catalogue that is kept twice, for one user and for many: as far as catalogues have no index."""
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
    """Items that each user of a batch may get. What is not asked for is not worked out."""

    def __init__(
        self,
        users: int,
        items: int,
        forbidden: Keys,
        masks: tuple[NDArray[np.bool_], ...] = (),
        mask_of: Users | None = None,
    ) -> None:
        """Takes the limits as they come.

        Args:
            users: how many users.
            items: how many items the catalogue has.
            forbidden: keys (user * items + row) of items a user may not get, in any order.
            masks: (items,) masks of allowed items.
            mask_of: (users,) the mask of each user, -1: every item is allowed; None: so for all.
        """
        self.users, self.items, self.masks, self.keys = users, items, masks, forbidden
        self._mask_of = mask_of

    @classmethod
    def none(cls, users: int, items: int) -> Limits:
        """Returns limits that forbid nothing."""
        return cls(users, items, np.empty(0, np.int64))

    @cached_property
    def mask_of(self) -> Users:
        """(users,) the mask of each user, -1: every item is allowed."""
        return np.full(self.users, -1, np.intp) if self._mask_of is None else self._mask_of

    @cached_property
    def forbidden(self) -> Keys:
        """Sorted keys of what is forbidden, without duplicates."""
        keys = np.sort(self.keys)  # np.unique hashes; sorting is faster, and sorted is what is needed
        return keys[np.diff(keys, prepend=-1) > 0]

    @cached_property
    def forbidden_counts(self) -> NDArray[np.int64]:
        """(users,) how many items each may not get."""
        if not self.keys.size:
            return np.zeros(self.users, np.int64)
        return np.bincount(self.forbidden // self.items, minlength=self.users)

    @cached_property
    def allowed_counts(self) -> NDArray[np.int64]:
        """(users,) how many items each user's mask allows."""
        sizes = np.array([*map(np.count_nonzero, self.masks), self.items], np.int64)
        return sizes[self.mask_of]  # -1 is the last: all items

    def take(self, users: Users) -> Limits:
        """Returns the limits of the given users alone, ascending and without duplicates."""
        mask_of = None if self._mask_of is None else self._mask_of[users]
        return Limits(len(users), self.items, self.keys_of(users), self.masks, mask_of)

    def keys_of(self, users: Users) -> Keys:
        """Returns what the given users, ascending and without duplicates, may not get: place * items + row of each.

        In any order, and with duplicates where it came with some. ``place`` is a user's among ``users``.
        """
        if len(users) == self.users or not self.keys.size:
            return self.keys
        place = np.full(self.users, -1, np.int64)
        place[users] = np.arange(len(users))
        owner, row = np.divmod(self.keys, self.items)
        place = place[owner]
        inside = place >= 0
        return place[inside] * self.items + row[inside]

    def without(self, rows: Rows) -> Limits:
        """Returns limits that also forbid each user's (users, n) rows; -1 is no row."""
        user, column = np.nonzero(rows >= 0)
        keys = user * np.int64(self.items) + rows[user, column]
        return Limits(self.users, self.items, np.concatenate([self.keys, keys]), self.masks, self._mask_of)

    def permits(self, users: Users, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Returns (m, n): whether each of m users may get each of its n rows; never a row below 0."""
        ok = rows >= 0
        if self.keys.size:
            keys = users[:, None] * np.int64(self.items) + rows
            place = np.searchsorted(self.forbidden, keys)
            np.minimum(place, self.forbidden.size - 1, out=place)
            ok &= self.forbidden[place] != keys
        if self.masks:
            for number in np.unique(self.mask_of[users]):
                if number >= 0:
                    masked = self.mask_of[users] == number
                    ok[masked] &= self.masks[number][rows[masked]]
        return ok


class Retriever(Protocol):
    """Search of one bundle's items by inner product. No user's work depends on what batch-mates ask for."""

    def search(self, vectors: Scores, limits: Limits, counts: Counts) -> Candidates:
        """Returns each user's best permitted items, as many as there are.

        Args:
            vectors: (users, d).
            limits: of these users.
            counts: (users,) how many each gets at most; the places behind are empty.
        """
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
        # Two users and more are multiplied up to six times as fast where items are columns (OpenBLAS, 2,527 x 64), one
        # user is not; and of a large catalogue the copy would be large.
        self._columns = np.ascontiguousarray(items.T) if len(items) <= _COLUMNS_UP_TO else items.T  # (d, items)

    def search(self, vectors: Scores, limits: Limits, counts: Counts) -> Candidates:
        """See `Retriever`."""
        users, own = len(vectors), counts.tolist()
        most = max(own, default=0)
        alike = not limits.masks and most <= limits.items and own.count(most) == users
        if alike and users * limits.items <= _CHUNK:  # nearly always, and then there is nothing to put together
            return Candidates(*self._best(vectors, None, limits.keys, most))
        candidates = Candidates.none(users, most)
        self.fill(candidates, vectors, limits, counts, np.arange(users))
        return candidates

    def fill(self, candidates: Candidates, vectors: Scores, limits: Limits, counts: Counts, users: Users) -> None:
        """Searches for some users of a batch alone, ascending, and overwrites their candidates."""
        for group, number, depth in _groups(limits, counts, users):
            allowed = None if number < 0 else np.flatnonzero(limits.masks[number])
            size = max(1, _CHUNK // max(1, limits.items if allowed is None else len(allowed)))
            for chunk in (group[start : start + size] for start in range(0, len(group), size)):
                keys = limits.keys_of(chunk)
                if allowed is not None:
                    owner, row = np.divmod(keys, limits.items)
                    inside = limits.masks[number][row]
                    keys = owner[inside] * len(allowed) + np.searchsorted(allowed, row[inside])
                columns, best = self._best(vectors[chunk], allowed, keys, depth)
                rows = columns if allowed is None else np.where(columns < 0, -1, allowed[columns])
                width, beyond = rows.shape[1], np.arange(rows.shape[1]) >= counts[chunk, None]
                candidates.rows[chunk, :width] = np.where(beyond, -1, rows)
                candidates.scores[chunk, :width] = np.where(beyond, -np.inf, best)

    def _best(self, vectors: Scores, allowed: Users | None, forbidden: Keys, depth: int) -> tuple[Rows, Scores]:
        """Returns the best columns, as `top_k` does, of all items or of the allowed rows; keys count in columns."""
        if allowed is None:
            scale, columns = self._scale, self._columns if len(vectors) > 1 else self._items.T
        else:
            scale, columns = None if self._scale is None else self._scale[allowed], self._items[allowed].T
        scores = vectors @ columns  # (users, allowed)
        if scale is not None:
            scores *= scale
        if forbidden.size:
            scores.reshape(-1)[forbidden] = -np.inf
        return top_k(scores, depth)


class GivenScores(ExactSearch):
    """Search of a catalogue that was scored already: the "vectors" are (users, items) scores, and stay as they are."""

    def __init__(self) -> None:
        """Needs nothing."""

    def _best(self, vectors: Scores, allowed: Users | None, forbidden: Keys, depth: int) -> tuple[Rows, Scores]:
        scores = vectors if allowed is None else vectors[:, allowed]
        if not np.isfinite(scores).all():
            raise ValueError("the scores of the catalogue are not finite")
        if forbidden.size:
            scores = scores.copy() if allowed is None else scores
            scores.reshape(-1)[forbidden] = -np.inf
        return top_k(scores, depth)


class IndexSearch:
    """Search of a FAISS index; users whom the index leaves short, or who may get few items, are searched exactly."""

    def __init__(self, index: faiss.Index, exact: ExactSearch) -> None:
        """Takes the index and what makes up for it, both over the same item vectors."""
        self._index, self._exact = index, exact

    def search(self, vectors: Scores, limits: Limits, counts: Counts) -> Candidates:
        """See `Retriever`."""
        items = limits.items
        if items <= _EXACT_ROWS:
            return self._exact.search(vectors, limits, counts)
        candidates = Candidates.none(len(vectors), int(counts.max(initial=0)))
        few = limits.allowed_counts <= _EXACT_ROWS
        short = [np.flatnonzero(few)]
        # As many as would do if what a filter allows and what is forbidden lay anywhere in the ranking; for what is
        # forbidden, at the very top: there lies what a user has seen.
        share = items / np.maximum(limits.allowed_counts, 1)
        need = np.minimum(limits.forbidden_counts + np.ceil(counts * share), _MOST_FETCHED)
        fetch = np.minimum(2 ** np.ceil(np.log2(np.maximum(need, 1))), items).astype(np.int64)
        for size in np.unique(fetch[~few]):
            users = np.flatnonzero(~few & (fetch == size))
            scores, rows = self._index.search(np.ascontiguousarray(vectors[users]), int(size))
            permitted = limits.permits(users, rows)
            _close_up(candidates, users, rows, scores, permitted, counts)
            short.append(users[permitted.sum(1) < counts[users]])
        self._exact.fill(candidates, vectors, limits, counts, np.sort(np.concatenate(short)))
        return candidates


def list_permitted(rows: Rows, scores: Scores, limits: Limits, counts: Counts) -> Candidates:
    """Returns the permitted ones of (users, n) rows, in their order, as many as are asked for; -1 is no row."""
    listed = Candidates.none(len(rows), int(counts.max(initial=0)))
    users = np.arange(len(rows))
    _close_up(listed, users, rows, scores, limits.permits(users, rows), counts)
    return listed


def most_popular(order: Rows, limits: Limits, counts: Counts) -> Rows:
    """Returns (users, largest count) of the most popular permitted rows.

    Args:
        order: (items,) rows, the most popular first.
        limits: of these users.
        counts: (users,) how many each needs; the places behind are -1.
    """
    popular = Candidates.none(limits.users, int(counts.max(initial=0)))
    # The forbidden can all lie at the top, and no deeper: with so many more, nobody comes out short.
    for users, number, depth in _groups(limits, counts + limits.forbidden_counts, np.flatnonzero(counts > 0)):
        allowed = order if number < 0 else order[limits.masks[number][order]]
        depth = min(len(allowed), depth)
        size = max(1, _CHUNK // max(depth, 1))
        for chunk in (users[start : start + size] for start in range(0, len(users), size)):
            top = np.broadcast_to(allowed[:depth], (len(chunk), depth))
            _close_up(popular, chunk, top, np.zeros(top.shape, np.float32), limits.permits(chunk, top), counts)
    return popular.rows


def _groups(limits: Limits, depths: Counts, users: Users) -> Iterator[tuple[Users, int, int]]:
    """Splits users into groups of one mask whose depths differ by less than a factor of two.

    Yields the users of each, their mask, -1: none, and the largest depth. So a user does no more than twice its work
    for what batch-mates ask, and a batch of equals is one group.
    """
    if not users.size:
        return
    exponents = np.frexp(depths[users])[1]  # 2^(e - 1) <= depth < 2^e
    kinds = limits.mask_of[users] * np.int64(64) + exponents
    for kind in np.unique(kinds):
        group = users[kinds == kind]
        yield group, int(limits.mask_of[group[0]]), int(depths[group].max())


def _close_up(
    candidates: Candidates,
    users: Users,
    rows: NDArray[np.integer],
    scores: NDArray[np.floating],
    permitted: NDArray[np.bool_],
    counts: Counts,
) -> None:
    """Overwrites the users' candidates with the permitted ones of (m, n) rows, closed up, in their order."""
    place = np.cumsum(permitted, axis=1) - 1
    m, n = np.nonzero(permitted & (place < counts[users, None]))
    candidates.rows[users] = -1
    candidates.scores[users] = -np.inf
    candidates.rows[users[m], place[m, n]] = rows[m, n]
    candidates.scores[users[m], place[m, n]] = scores[m, n]
