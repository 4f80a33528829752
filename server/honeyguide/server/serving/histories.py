"""Joins stored and inline events into one HistoryBatch, for a whole batch of users at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers
from honeyguide.server.events.store import EventStore, StoredHistory

__all__ = ["Histories", "InlineHistory", "UserInput", "UserState", "build_histories"]

Long = NDArray[np.int64]
Int = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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
    """(users) whole histories of known items, normalised; some may be empty."""
    unknown: Long
    """(users,) events that were skipped because the catalogue lacks their item."""
    states: list[UserState]
    """What is known of each user."""


def build_histories(
    users: Sequence[UserInput], store: EventStore | None, numbers: StoreNumbers, catalogue: Catalogue, spec: DataSpec
) -> Histories:
    """Builds the histories of a batch of users; stored events come first, then inline ones."""
    stored = [(i, u.user_id) for i, u in enumerate(users) if store is not None and u.user_id is not None]
    inline = [(i, u.history) for i, u in enumerate(users) if u.history is not None and u.history.item_ids]
    past = store.histories([user_id for _, user_id in stored]) if store is not None and stored else []
    columns = _Columns(past, [history for _, history in inline], store, numbers)

    owner = np.repeat(
        np.array([i for i, _ in stored] + [i for i, _ in inline], np.int64), [*map(len, past), *columns.inline_lengths]
    )
    # Stable, so that a user's stored events stay before the inline ones.
    order = np.argsort(owner, kind="stable")
    rows = columns.rows(catalogue)
    known = rows[order] >= 0
    owner = owner[order]
    events = order[known]
    offsets = np.zeros(len(users) + 1, np.int64)
    np.cumsum(np.bincount(owner[known], minlength=len(users)), out=offsets[1:])

    times = moments = None
    if spec.has_time:
        moments = np.array([u.request_time_ms for u in users], np.int64)
        times = _non_decreasing(columns.times(moments[[i for i, _ in inline]])[events], owner[known])
    batch = HistoryBatch(
        items=rows[events],
        offsets=offsets,
        times_ms=times,
        features={scaler.name: scaler(columns.feature(scaler.name)[events]) for scaler in spec.features},
        event_types=columns.event_types()[events] if spec.event_types else None,
        request_times_ms=moments,
    )
    states = [UserState.ANONYMOUS] * len(users)
    for i, _ in inline:
        states[i] = UserState.INLINE
    for (i, _), history in zip(stored, past, strict=True):
        if len(history):
            states[i] = UserState.STORED
    return Histories(batch, np.bincount(owner[~known], minlength=len(users)), states)


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

    def rows(self, catalogue: Catalogue) -> Int:
        parts = [catalogue.rows(list(chain.from_iterable(h.item_ids for h in self._inline)))]
        if self._store is not None and self._past:
            parts.insert(0, self._numbers.rows(self._stored("items", np.int64), self._store.item_ids))
        return np.concatenate(parts)

    def event_types(self) -> Int:
        names = chain.from_iterable(h.event_types or repeat("", len(h.item_ids)) for h in self._inline)
        parts = [self._numbers.names(list(names))]
        if self._store is not None and self._past:
            parts.insert(0, self._numbers.types(self._stored("event_types", np.int32), self._store.event_types))
        return np.concatenate(parts)

    def times(self, moments: Long) -> Long:
        """Events whose time the request does not say happened at its moment, as far as anyone knows."""
        inline = [
            np.full(length, moment) if h.times_ms is None else h.times_ms
            for h, length, moment in zip(self._inline, self.inline_lengths, moments, strict=True)
        ]
        return np.concatenate([self._stored("times_ms", np.int64), *inline])

    def feature(self, name: str) -> NDArray[np.float32]:
        inline = [
            h.features.get(name, np.full(length, np.nan, np.float32))
            for h, length in zip(self._inline, self.inline_lengths, strict=True)
        ]
        return np.concatenate([self._stored(name, np.float32), *inline])

    def _stored(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *(getattr(h, name) for h in self._past)])


def _non_decreasing(times: Long, owner: Long) -> Long:
    """Raises each time to the latest before it of the same user: inline events follow stored ones whatever they say."""
    if not times.size:
        return times
    # A base for each user that is above all times of the user before keeps the running maximum within the user.
    low = times.min()
    base = owner * (times.max() - low + 1)
    raised: Long = np.maximum.accumulate(times - low + base) - base + low
    return raised
