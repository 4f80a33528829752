"""Joins stored and inline events into one HistoryBatch, for a whole batch of users at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import DataSpec, FeatureScaler, HistoryBatch
from honeyguide.sdk.errors import Unavailable
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers, TypeNumbers
from honeyguide.server.events.store import UNREADABLE, EventStore, StoredHistory
from honeyguide.server.serving.dislikes import Dislikes, without_dislikes

__all__ = ["Histories", "InlineHistory", "UserInput", "UserState", "build_histories"]

Long = NDArray[np.int64]
Int = NDArray[np.int32]


@dataclass(slots=True)  # not frozen, as one is made for every request: that takes four times as long
class InlineHistory:
    """Events that a request brings along, oldest first, as columns."""

    item_ids: Sequence[str]
    times_ms: Long | None = None
    """(events,) or None where the request does not say."""
    event_types: Sequence[str] = ()
    """As long as ``item_ids``, or empty."""
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Raw columns by name, NaN: not known."""


class UserState(IntEnum):
    """What is known of a user; the numbers are those of the proto."""

    STORED = 1
    """There are stored events."""
    INLINE = 2
    """There are the request's events alone."""
    ANONYMOUS = 3


@dataclass(slots=True)  # as above
class UserInput:
    """User of a query: who it is, with what behaviour, and when."""

    user_id: str | None = None
    """None: an anonymous user."""
    history: InlineHistory | None = None
    """Comes after the stored events."""
    request_time_ms: int = 0
    """The moment of the request, milliseconds since 1970."""

    @property
    def known_as(self) -> str | None:
        """The user whose stored events are the whole history; None where there is no such user."""
        return None if self.history is not None and self.history.item_ids else self.user_id


@dataclass(frozen=True, slots=True)
class Histories:
    """Behaviour of a batch of users."""

    batch: HistoryBatch
    """(users) histories of known items, whole as far as the store keeps them, normalised; some may be empty."""
    unknown: Sequence[int]
    """By user, events that were skipped because the catalogue lacks their item; empty: none of anybody."""
    states: list[UserState]
    """What is known of each user."""
    older: Mapping[int, Int]
    """By user of whom the batch lacks older events, the (n,) catalogue rows of all items seen that are known."""
    truncated: list[bool]
    """By user, whether items were seen that nobody keeps any more."""
    unreadable: Collection[int] = ()
    """Users whose stored events cannot be read; they took no part."""
    disliked: Dislikes | None = None
    """What users dislike; ``batch`` has no events with it. None: nothing."""

    def seen(self, users: Sequence[bool], items: int) -> Long:
        """Returns keys (user * items + row) of what the chosen users have seen, in any order, with duplicates.

        What a user dislikes is among them, whoever is chosen.
        """
        if not any(users):
            return np.empty(0, np.int64) if self.disliked is None else _keys(self.disliked, items)
        keys = np.repeat(np.arange(len(users)) * np.int64(items), self.batch.lengths) + self.batch.items
        if not all(users):
            keys = keys[np.repeat(users, self.batch.lengths)]
        older = [rows + np.int64(user * items) for user, rows in self.older.items() if users[user]]
        if self.disliked is not None:
            older.append(_keys(self.disliked, items))
        every: Long = np.concatenate([keys, *older])
        return every


def build_histories(
    users: Sequence[UserInput],
    store: EventStore | None,
    numbers: StoreNumbers,
    catalogue: Catalogue,
    spec: DataSpec,
    negative: TypeNumbers | None = None,
) -> Histories:
    """Builds the histories of a batch of users; stored events come first, then inline ones.

    ``negative``: the types of events that say that an item is disliked.
    """
    stored = [(i, u.user_id) for i, u in enumerate(users) if store is not None and u.user_id is not None]
    inline = [(i, u.history) for i, u in enumerate(users) if u.history is not None and u.history.item_ids]
    past = store.histories([user_id for _, user_id in stored]) if store is not None and stored else []
    columns = _Columns(past, [history for _, history in inline], store, numbers)
    try:
        rows, event_types, dislikes = columns.names(catalogue, spec, negative)
    except (Unavailable, IndexError):  # names that cannot be read, or numbers that have none: of some user
        if store is None or all(history.unreadable for history in past):
            raise
        past = [h if _is_readable(h, store, numbers) else UNREADABLE for h in past]
        columns = _Columns(past, [history for _, history in inline], store, numbers)
        rows, event_types, dislikes = columns.names(catalogue, spec, negative)
    owners = [i for i, _ in stored] + [i for i, _ in inline]
    lengths = [*map(len, past), *columns.inline_lengths]
    moments = np.array([u.request_time_ms for u in users], np.int64) if spec.has_time else None
    times = None if moments is None else columns.times(moments[[i for i, _ in inline]])
    features = {scaler.name: columns.feature(scaler) for scaler in spec.features}
    unknown: Sequence[int] = ()
    mixed = bool(stored and inline)
    if not mixed and (rows >= 0).all():  # as it mostly is: users in order, nothing amiss
        counts = [0] * len(users)
        for owner, length in zip(owners, lengths, strict=True):
            counts[owner] = length
    else:
        owner_of = np.repeat(np.array(owners, np.int64), lengths)
        # Stable, so that a user's stored events stay before the inline ones.
        order = np.argsort(owner_of, kind="stable")
        owner_of, known = owner_of[order], rows[order] >= 0
        events, owner_of, lost = order[known], owner_of[known], owner_of[~known]
        rows = rows[events]
        times = None if times is None else _non_decreasing(times[events], owner_of)
        features = {name: column[events] for name, column in features.items()}
        event_types = None if event_types is None else event_types[events]
        dislikes = None if dislikes is None else dislikes[events]
        counts = np.bincount(owner_of, minlength=len(users)).tolist()
        unknown = np.bincount(lost, minlength=len(users)).tolist() if lost.size else ()
    offsets = np.zeros(len(users) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    batch = HistoryBatch(
        items=rows,
        offsets=offsets,
        times_ms=times,
        features=features,
        event_types=event_types,
        request_times_ms=moments,
    )
    disliked: Dislikes | None = None
    if dislikes is not None and dislikes.any():
        batch, disliked = without_dislikes(batch, dislikes, len(catalogue))
    states = [UserState.ANONYMOUS] * len(users)
    for i, _ in inline:
        states[i] = UserState.INLINE
    older, truncated, unreadable = {}, [False] * len(users), []
    for (i, _), history in zip(stored, past, strict=True):
        if len(history):
            states[i] = UserState.STORED
        elif history.unreadable:
            unreadable.append(i)
        if history.seen is not None and store is not None:
            met = numbers.rows(history.seen, store.item_ids)
            older[i], truncated[i] = met[met >= 0], history.truncated
    return Histories(batch, unknown, states, older, truncated, unreadable, disliked)


def _is_readable(history: StoredHistory, store: EventStore, numbers: StoreNumbers) -> bool:
    """Says whether everything that a history names can be read, whatever a damaged file made of it."""
    try:
        numbers.rows(history.items, store.item_ids)
        numbers.types(history.event_types, store.event_types)
        if history.seen is not None:
            numbers.rows(history.seen, store.item_ids)
    except (Unavailable, IndexError):
        return False
    return True


class _Columns:
    """Columns of all users: first what is stored, then what is inline."""

    def __init__(
        self,
        past: Sequence[StoredHistory],
        inline: Sequence[InlineHistory],
        store: EventStore | None,
        numbers: StoreNumbers,
    ) -> None:
        self._past, self._inline, self._store, self._numbers = past, inline, store, numbers
        self.inline_lengths = [len(h.item_ids) for h in inline]
        self._inline_total = sum(self.inline_lengths)

    def names(
        self, catalogue: Catalogue, spec: DataSpec, negative: TypeNumbers | None
    ) -> tuple[Int, Int | None, NDArray[np.bool_] | None]:
        """Returns catalogue rows, event types where the data has them, and which events are of dislikes."""
        types = self.event_types(self._numbers) if spec.event_types else None
        dislikes = None if negative is None else self.event_types(negative) > 0
        return self.rows(catalogue), types, dislikes

    def rows(self, catalogue: Catalogue) -> Int:
        inline = catalogue.rows(list(chain.from_iterable(h.item_ids for h in self._inline)))
        if self._store is None or not self._past:
            return inline
        return _joined([self._numbers.rows(self._stored("items"), self._store.item_ids), inline])

    def event_types(self, numbers: TypeNumbers) -> Int:
        inline: Int = np.zeros(self._inline_total, np.int32)
        if any(h.event_types for h in self._inline):
            names = chain.from_iterable(h.event_types or repeat("", len(h.item_ids)) for h in self._inline)
            inline = numbers.names(list(names))
        if self._store is None or not self._past:
            return inline
        return _joined([numbers.types(self._stored("event_types"), self._store.event_types), inline])

    def times(self, moments: Long) -> Long:
        """Events whose time the request does not say happened at its moment, as far as anyone knows."""
        if all(h.times_ms is None for h in self._inline):
            inline = np.repeat(moments, self.inline_lengths)
        else:
            inline = np.concatenate(
                [
                    np.full(length, moment) if h.times_ms is None else h.times_ms
                    for h, length, moment in zip(self._inline, self.inline_lengths, moments, strict=True)
                ]
            )
        return _joined([self._stored("times_ms"), inline]) if self._past else inline

    def feature(self, scaler: FeatureScaler) -> NDArray[np.float32]:
        """Returns the normalised feature of all events."""
        name = scaler.name
        if any(name in h.features for h in self._inline):
            raw = [
                h.features.get(name, np.full(length, np.nan, np.float32))
                for h, length in zip(self._inline, self.inline_lengths, strict=True)
            ]
            inline = scaler(np.concatenate(raw))
        else:
            inline = np.full(self._inline_total, _of_missing(scaler), np.float32)
        return _joined([scaler(self._stored(name)), inline]) if self._past else inline

    def _stored(self, name: str) -> NDArray[Any]:
        return _joined([getattr(h, name) for h in self._past])


def _keys(disliked: Dislikes, items: int) -> Long:
    owners, rows = disliked
    keys: Long = owners * items + rows
    return keys


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    parts = [part for part in parts if part.size] or parts[:1]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


@lru_cache(maxsize=64)
def _of_missing(scaler: FeatureScaler) -> np.float32:
    """Returns what the scaler makes of a value that is not known."""
    return np.float32(scaler(np.array([np.nan]))[0])


def _non_decreasing(times: Long, owner: Long) -> Long:
    """Raises each time to the latest before it of the same user: inline events follow stored ones whatever they say."""
    if not times.size:
        return times
    # A base for each user that is above all times of the user before keeps the running maximum within the user.
    low = times.min()
    base = owner * (times.max() - low + 1)
    raised: Long = np.maximum.accumulate(times - low + base) - base + low
    return raised
