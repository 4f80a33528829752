"""Joins stored and inline events into one HistoryBatch, for a whole batch of users at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers
from honeyguide.server.events.sqlite import EventStore, StoredHistory

__all__ = ["Histories", "InlineHistory", "UserInput", "build_histories"]

Long = NDArray[np.int64]
Int = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class InlineHistory:
    """Events that a request brings along, oldest first, as columns."""

    item_ids: Sequence[str]
    time_ms: Long | None = None
    """(events,) or None where the request does not say."""
    event_type: Sequence[str] = ()
    """As long as ``item_ids``, or empty."""
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Raw columns by name, NaN: not known."""


@dataclass(frozen=True, slots=True)
class UserInput:
    """User of a query: who it is, with what behaviour, and when."""

    user_id: str | None = None
    """None: an anonymous user."""
    history: InlineHistory | None = None
    """Comes after the stored events."""
    now_ms: int = 0
    """The moment of the request."""

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


def build_histories(
    users: Sequence[UserInput], store: EventStore | None, numbers: StoreNumbers, catalogue: Catalogue, spec: DataSpec
) -> Histories:
    """Builds the histories of a batch of users; stored events come first, then inline ones."""
    stored = [(i, u.user_id) for i, u in enumerate(users) if store is not None and u.user_id is not None]
    inline = [(i, u.history) for i, u in enumerate(users) if u.history is not None and u.history.item_ids]
    past = store.histories([user_id for _, user_id in stored]) if store is not None and stored else []
    columns = _Columns(past, [history for _, history in inline])

    owner = np.repeat(
        np.array([i for i, _ in stored] + [i for i, _ in inline], np.int64), [*map(len, past), *columns.inline_lengths]
    )
    # Stable, so that a user's stored events stay before the inline ones.
    order = np.argsort(owner, kind="stable")
    rows = np.concatenate(
        [
            numbers.rows(columns.stored("items", np.int64), store.item_ids) if store is not None else _NO_ROWS,
            catalogue.rows(list(chain.from_iterable(h.item_ids for _, h in inline))),
        ]
    )
    known = rows[order] >= 0
    owner = owner[order]
    events = order[known]
    offsets = np.zeros(len(users) + 1, np.int64)
    np.cumsum(np.bincount(owner[known], minlength=len(users)), out=offsets[1:])

    now = np.array([u.now_ms for u in users], np.int64)
    batch = HistoryBatch(items=rows[events], offsets=offsets, request_times_ms=now if spec.has_time else None)
    if spec.has_time:
        times = columns.times(now[[i for i, _ in inline]])[events]
        batch = dataclasses.replace(batch, times_ms=_non_decreasing(times, owner[known]))
    if spec.event_types:
        types = [
            numbers.types(columns.stored("event_type", np.int32), store.event_types) if store is not None else _NO_ROWS,
            numbers.names(list(chain.from_iterable(h.event_type or repeat("", len(h.item_ids)) for _, h in inline))),
        ]
        batch = dataclasses.replace(batch, event_types=np.concatenate(types)[events])
    if spec.features:
        features = {scaler.name: scaler(columns.feature(scaler.name)[events]) for scaler in spec.features}
        batch = dataclasses.replace(batch, features=features)
    return Histories(batch, np.bincount(owner[~known], minlength=len(users)))


class _Columns:
    """Columns of all users: first what is stored, then what is inline."""

    def __init__(self, past: Sequence[StoredHistory], inline: Sequence[InlineHistory]) -> None:
        self._past = past
        self._inline = inline
        self.inline_lengths = [len(h.item_ids) for h in inline]

    def stored(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *(getattr(h, name) for h in self._past)])

    def times(self, now: Long) -> Long:
        """Events whose time the request does not say happened now, as far as anyone knows."""
        inline = [
            np.full(length, moment) if h.time_ms is None else h.time_ms
            for h, length, moment in zip(self._inline, self.inline_lengths, now, strict=True)
        ]
        return np.concatenate([self.stored("time_ms", np.int64), *inline])

    def feature(self, name: str) -> NDArray[np.float32]:
        inline = [
            h.features.get(name, np.full(length, np.nan, np.float32))
            for h, length in zip(self._inline, self.inline_lengths, strict=True)
        ]
        return np.concatenate([self.stored(name, np.float32), *inline])


def _non_decreasing(times: Long, owner: Long) -> Long:
    """Raises each time to the latest before it of the same user: inline events follow stored ones whatever they say."""
    if not times.size:
        return times
    # A base for each user that is above all times of the user before keeps the running maximum within the user.
    low = times.min()
    base = owner * (times.max() - low + 1)
    raised: Long = np.maximum.accumulate(times - low + base) - base + low
    return raised


_NO_ROWS: Int = np.empty(0, np.int32)
