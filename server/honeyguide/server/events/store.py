"""Says what the server asks of an event store, and in which values events go in and come out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_HISTORY_EVENTS",
    "MAX_SEEN_ITEMS",
    "UNREADABLE",
    "EventStore",
    "Page",
    "RecordCounts",
    "StoredEvent",
    "StoredHistory",
    "UserPage",
]

MAX_HISTORY_EVENTS = 20_000
"""Events that one `StoredHistory` holds in columns."""
MAX_SEEN_ITEMS = 20_000
"""Distinct items that one `StoredHistory` holds."""


class StoredEvent(NamedTuple):
    """One event, as recorded and as read back; a tuple, because one is made for each event recorded."""

    user_id: str
    item_id: str
    time_ms: int
    """Milliseconds since 1970-01-01 UTC."""
    event_type: str = ""
    """"": an event without a type."""
    dwell_seconds: float | None = None
    """Seconds; None: not known."""
    clicks: float | None = None
    quantity: float | None = None
    value: float | None = None
    request_id: str = ""
    """The answer the event follows from; "": none."""
    event_id: str = ""
    """"": no idempotency."""
    now: bool = False
    """Whether it happens as it is stored, by the server's clock: then it is not before its user's newest event."""


class RecordCounts(NamedTuple):
    """Count of what became of events."""

    accepted: int
    """Stored by this call."""
    duplicates: int
    """Not stored, because their event_id was stored for their user before."""


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """One user's newest events, oldest first, as (events,) columns that cannot be written to.

    There are as many as the user has, and at most `MAX_HISTORY_EVENTS`.
    """

    items: NDArray[np.int64]
    """Store numbers of the items: places in `EventStore.item_ids`."""
    times_ms: NDArray[np.int64]
    """Milliseconds since 1970-01-01 UTC, non-decreasing."""
    event_types: NDArray[np.int32]
    """Store numbers of the types: places in `EventStore.event_types`; 0 is the event without a type."""
    dwell_seconds: NDArray[np.float32]
    """Seconds; NaN: not known."""
    clicks: NDArray[np.float32]
    """NaN: not known."""
    quantity: NDArray[np.float32]
    """NaN: not known."""
    value: NDArray[np.float32]
    """NaN: not known."""
    count: int
    """How many events the user has, those beyond the columns too."""
    seen: NDArray[np.int64] | None = None
    """(items,) store numbers of the distinct items of all events, at most the newest `MAX_SEEN_ITEMS`, in no order.

    None: the columns hold all events, and so these are the distinct ones of `items`.
    """
    truncated: bool = False
    """Whether `seen` lacks items, because there are more than `MAX_SEEN_ITEMS`."""
    unreadable: bool = False
    """Whether the user's events could not be read, so that nothing is known of them."""

    def __len__(self) -> int:
        return len(self.items)


def _empty(kind: type[Any]) -> NDArray[Any]:
    column = np.empty(0, kind)
    column.flags.writeable = False
    return column


_FEATURE = _empty(np.float32)
UNREADABLE = StoredHistory(
    items=_empty(np.int64),
    times_ms=_empty(np.int64),
    event_types=_empty(np.int32),
    dwell_seconds=_FEATURE,
    clicks=_FEATURE,
    quantity=_FEATURE,
    value=_FEATURE,
    count=0,
    unreadable=True,
)
"""The history of a user whose events cannot be read."""


@dataclass(frozen=True, slots=True)
class Page:
    """Part of one user's events, newest first."""

    events: list[StoredEvent]
    next_token: str
    """"": this was the last."""


@dataclass(frozen=True, slots=True)
class UserPage:
    """Part of the users, ordered by the bytes of their ids."""

    user_ids: list[str]
    next_token: str
    """"": this was the last."""


class EventStore(Protocol):
    """Keeper of what users did; every method may be called from any thread.

    The store numbers items and event types as it meets them, from 0 and without gaps. A number never changes, so that
    whoever reads histories may keep what it made of one.
    """

    @property
    def problem(self) -> str:
        """What ails the store, for operators; "": nothing that is known."""
        ...  # pragma: no cover

    def record(self, events: Sequence[StoredEvent]) -> Future[RecordCounts]:
        """Stores events; the future is done when they are on disk and every later read knows them.

        An event whose id is stored for its user already is a duplicate. Raises `OverCapacity` at once when too many
        wait; the future holds `Unavailable` when the disk refuses, and then none of them is stored. A future that is
        cancelled while it waits stores nothing. Callbacks run on the thread that writes: they must be short. On an
        event loop, await `asyncio.wrap_future` of it.
        """
        ...  # pragma: no cover

    def delete_user(self, user_id: str) -> Future[int]:
        """Deletes a user; the future has how many events there were.

        It is done when nothing is left of them, nor of the names of items and event types that only they had. Raises as
        `record` does.
        """
        ...  # pragma: no cover

    def move_users(self, moves: Sequence[tuple[str, str]]) -> Future[int]:
        """Gives the events of the first user of each pair to the second; the future has how many had any.

        What is asked of the store later knows of it. An event whose id the second has already is dropped.
        """
        ...  # pragma: no cover

    def histories(self, user_ids: Sequence[str]) -> list[StoredHistory]:
        """Returns the history of each user, in the given order; an unknown user's is empty.

        One that cannot be read is `UNREADABLE`, and does the others no harm.
        """
        ...  # pragma: no cover

    def item_ids(self, start: int = 0) -> list[str]:
        """Returns the item ids from store number ``start`` on. Raises `Unavailable`."""
        ...  # pragma: no cover

    def event_types(self, start: int = 0) -> list[str]:
        """Returns the event types from store number ``start`` on; number 0 is "". Raises `Unavailable`."""
        ...  # pragma: no cover

    def page(self, user_id: str, page_size: int, token: str = "") -> Page:
        """Returns a page of a user's events, newest first; see `Page.next_token`. Raises `InvalidArgument`."""
        ...  # pragma: no cover

    def user_page(self, page_size: int, token: str = "") -> UserPage:
        """Returns a page of the users of whom there are events. Raises `InvalidArgument` as `page` does."""
        ...  # pragma: no cover

    def count(self, user_id: str) -> int:
        """Returns how many events a user has. Raises `Unavailable`."""
        ...  # pragma: no cover

    def close(self) -> None:
        """Waits until what is queued is on disk, then frees everything; no other call may be under way."""
        ...  # pragma: no cover
