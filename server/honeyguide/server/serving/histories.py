"""Joins stored and inline events into one HistoryBatch, for a whole batch of users at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.errors import Unavailable
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers, TypeNumbers
from honeyguide.server.events.store import UNREADABLE, EventStore, StoredHistory
from honeyguide.server.serving.dislikes import Dislikes, without_dislikes
from honeyguide.server.serving.event_columns import EventColumns, InlineHistory, inline_columns, stored_columns

__all__ = ["Histories", "UserInput", "UserState", "build_histories"]

Long = NDArray[np.int64]
Int = NDArray[np.int32]


class UserState(IntEnum):
    """What is known of a user; the numbers are those of the proto."""

    STORED = 1
    """There are stored events."""
    INLINE = 2
    """There are the request's events alone."""
    ANONYMOUS = 3


@dataclass(slots=True)  # not frozen, as one is made for every request: that takes four times as long
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
        keys: Long = (np.arange(len(users)) * np.int64(items)).repeat(self.batch.lengths) + self.batch.items
        if not all(users):
            keys = keys[np.repeat(users, self.batch.lengths)]
        older = [rows + np.int64(user * items) for user, rows in self.older.items() if users[user]]
        if self.disliked is not None:
            older.append(_keys(self.disliked, items))
        return np.concatenate([keys, *older]) if older else keys


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
    asking = len(users)
    stored = [] if store is None else [(i, u.user_id) for i, u in enumerate(users) if u.user_id is not None]
    inline = [(i, u.history) for i, u in enumerate(users) if u.history is not None and u.history.item_ids]
    past = store.histories([user_id for _, user_id in stored]) if store is not None and stored else []
    moments = np.array([u.request_time_ms for u in users], np.int64) if spec.has_time else None
    owners: list[int] = []
    lengths: list[int] = []
    parts: list[EventColumns] = []
    if store is not None and past:
        past, columns = _read(past, store, numbers, spec, negative)
        owners, lengths, parts = [i for i, _ in stored], [history.items.size for history in past], [columns]
    if inline or not parts:
        places, brought = [i for i, _ in inline], [history for _, history in inline]
        counts = [len(history.item_ids) for history in brought]
        asked = moments if moments is None or len(places) == asking else moments[places]
        parts.append(inline_columns(brought, counts, asked, catalogue, numbers, spec, negative))
        owners, lengths = owners + places, lengths + counts
    events = parts[0] if len(parts) == 1 else parts[0].joined(parts[1])

    unknown: Sequence[int] = ()
    if len(parts) == 1 and np.minimum.reduce(events.rows, initial=0) >= 0:  # as it mostly is: in order, nothing amiss
        counts = [0] * asking
        for owner, length in zip(owners, lengths, strict=True):
            counts[owner] = length
    else:
        owner_of = np.repeat(np.array(owners, np.int64), lengths)
        # Stable, so that a user's stored events stay before the inline ones.
        order = np.argsort(owner_of, kind="stable")
        owner_of, known = owner_of[order], events.rows[order] >= 0
        events, owner_of, lost = events.take(order[known]), owner_of[known], owner_of[~known]
        if events.times_ms is not None:
            events = events._replace(times_ms=_non_decreasing(events.times_ms, owner_of))
        counts = np.bincount(owner_of, minlength=asking).tolist()
        unknown = np.bincount(lost, minlength=asking).tolist() if lost.size else ()
    batch = HistoryBatch(
        items=events.rows,
        offsets=np.fromiter(accumulate(counts, initial=0), np.int64, asking + 1),
        times_ms=events.times_ms,
        features=events.features,
        event_types=events.event_types,
        request_times_ms=moments,
    )
    disliked: Dislikes | None = None
    if events.dislikes is not None and events.dislikes.any():
        batch, disliked = without_dislikes(batch, events.dislikes, len(catalogue))
    states = [UserState.ANONYMOUS] * asking
    for i, _ in inline:
        states[i] = UserState.INLINE
    older, truncated, unreadable = {}, [False] * asking, []
    for (i, _), history in zip(stored, past, strict=True):
        if history.items.size:
            states[i] = UserState.STORED
        elif history.unreadable:
            unreadable.append(i)
        if history.seen is not None and store is not None:
            met = numbers.rows(history.seen, store.item_ids)
            older[i], truncated[i] = met[met >= 0], history.truncated
    return Histories(batch, unknown, states, older, truncated, unreadable, disliked)


def _read(
    past: list[StoredHistory],
    store: EventStore,
    numbers: StoreNumbers,
    spec: DataSpec,
    negative: TypeNumbers | None,
) -> tuple[list[StoredHistory], EventColumns]:
    """Returns the histories, those that cannot be read as `UNREADABLE`, and their columns."""
    try:
        return past, stored_columns(past, store, numbers, spec, negative)
    except (Unavailable, IndexError):  # names that cannot be read, or numbers that have none: of some user
        if all(history.unreadable for history in past):
            raise
        past = [history if _is_readable(history, store, numbers) else UNREADABLE for history in past]
        return past, stored_columns(past, store, numbers, spec, negative)


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


def _keys(disliked: Dislikes, items: int) -> Long:
    owners, rows = disliked
    keys: Long = owners * items + rows
    return keys


def _non_decreasing(times: Long, owner: Long) -> Long:
    """Raises each time to the latest before it of the same user: inline events follow stored ones whatever they say."""
    if not times.size:
        return times
    # A base for each user that is above all times of the user before keeps the running maximum within the user.
    low = times.min()
    base = owner * (times.max() - low + 1)
    raised: Long = np.maximum.accumulate(times - low + base) - base + low
    return raised
