"""Keeps events in SQLite: what is acknowledged is on disk, and the next read knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

__all__ = ["EventColumns", "EventStore", "Page", "Recorded", "StoredEvent", "StoredHistory"]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """Is one event, as recorded and as read back."""

    user_id: str
    item_id: str
    time_ms: int
    """Milliseconds since 1970-01-01 UTC."""
    type: str = ""
    dwell_seconds: float | None = None
    clicks: float | None = None
    quantity: float | None = None
    value: float | None = None
    request_id: str = ""
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """Holds one user's events, oldest first, as (events,) columns; never changed once made."""

    items: NDArray[np.int64]
    """Store numbers of the items: places in `EventStore.item_ids`."""
    time_ms: NDArray[np.int64]
    event_type: NDArray[np.int32]
    """Store numbers of the types: places in `EventStore.event_types`; 0 is the event without a type."""
    dwell_seconds: NDArray[np.float32]
    """NaN: not known; as in the three below."""
    clicks: NDArray[np.float32]
    quantity: NDArray[np.float32]
    value: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Counts what became of events."""

    accepted: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Page:
    """Is a page of one user's events, newest first."""

    events: list[StoredEvent]
    next_token: str
    """"": this was the last."""


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Holds events for `EventStore.import_events`, in the order they happened for each user."""

    user_ids: Sequence[str]
    """Distinct users."""
    item_ids: Sequence[str]
    """Distinct items."""
    user: NDArray[np.int32]
    """(events,) places in `user_ids`."""
    item: NDArray[np.int32]
    """(events,) places in `item_ids`."""
    time_ms: NDArray[np.int64]
    event_type: Sequence[str] | None = None
    dwell_seconds: NDArray[np.float32] | None = None
    clicks: NDArray[np.float32] | None = None
    quantity: NDArray[np.float32] | None = None
    value: NDArray[np.float32] | None = None


class EventStore:
    """Is the store; every method may be called from any thread."""

    def __init__(self, path: Path, *, cache_events: int = 4_000_000, max_queued_events: int = 100_000) -> None:
        """Opens the store, making the file when it is missing; raises `ConfigError` on a foreign or corrupt one."""
        raise NotImplementedError

    def close(self) -> None:
        """Waits for what is queued, then closes the file."""
        raise NotImplementedError

    def __enter__(self) -> EventStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def record(self, events: Sequence[StoredEvent]) -> Recorded:
        """Stores events; returns when they are on disk."""
        raise NotImplementedError

    async def delete_user(self, user_id: str) -> int:
        """Deletes all events of a user; returns how many."""
        raise NotImplementedError

    def history(self, user_id: str) -> StoredHistory:
        """Returns one user's events, oldest first; an unknown user's is empty."""
        raise NotImplementedError

    def histories(self, user_ids: Sequence[str]) -> list[StoredHistory]:
        """Returns the history of each user."""
        raise NotImplementedError

    def item_ids(self, start: int = 0) -> list[str]:
        """Returns the item ids from store number ``start`` on."""
        raise NotImplementedError

    def event_types(self, start: int = 0) -> list[str]:
        """Returns the event types from store number ``start`` on; number 0 is ""."""
        raise NotImplementedError

    def page(self, user_id: str, page_size: int, token: str = "") -> Page:
        """Returns a page of a user's events, newest first."""
        raise NotImplementedError

    def count(self, user_id: str) -> int:
        """Returns how many events a user has."""
        raise NotImplementedError

    def import_events(
        self, columns: EventColumns, source: str, progress: Callable[[int], None] | None = None
    ) -> Recorded:
        """Stores many events at once."""
        raise NotImplementedError
