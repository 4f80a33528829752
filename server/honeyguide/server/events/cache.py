"""Keeps histories in memory, and never one that is older than an acknowledged write."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from honeyguide.server.events.store import StoredHistory

__all__ = ["HistoryCache", "Ticket"]

_OVERHEAD = 16
"""Events' worth of memory that an entry costs whatever it holds."""
_SEEN_PER_EVENT = 4
"""Seen items that cost as much memory as one event."""


@dataclass(slots=True, eq=False)
class Ticket:
    """Token of one read under way; a write that meanwhile touches the user spoils it."""

    user_id: str
    fresh: bool = True


class HistoryCache:
    """Histories asked for last, up to a number of events; thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, StoredHistory] = OrderedDict()
        self._reading: dict[str, set[Ticket]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, user_id: str) -> StoredHistory | None:
        """Returns what is kept for a user."""
        with self._lock:
            history = self._entries.get(user_id)
            if history is not None:
                self._entries.move_to_end(user_id)
            return history

    def begin(self, user_id: str) -> Ticket:
        """Announces a read of the file; to be called before the read begins, and ended by `end` in any case."""
        ticket = Ticket(user_id)
        with self._lock:
            self._reading.setdefault(user_id, set()).add(ticket)
        return ticket

    def end(self, ticket: Ticket, history: StoredHistory | None) -> None:
        """Ends a read; what it found is kept unless a write spoiled it. None: it failed."""
        with self._lock:
            readers = self._reading[ticket.user_id]
            readers.discard(ticket)
            if not readers:
                del self._reading[ticket.user_id]
            if history is None or not ticket.fresh or _size(history) > self._capacity:
                return
            self._drop(ticket.user_id)
            self._entries[ticket.user_id] = history
            self._size += _size(history)
            while self._size > self._capacity:
                self._drop(next(iter(self._entries)))

    def forget(self, user_ids: Iterable[str]) -> None:
        """Drops what is kept for these users, and spoils the reads under way."""
        with self._lock:
            for user_id in user_ids:
                self._drop(user_id)
                for ticket in self._reading.get(user_id, ()):
                    ticket.fresh = False

    def forget_all(self) -> None:
        """Drops everything, and spoils all reads under way."""
        with self._lock:
            self._entries.clear()
            self._size = 0
            for readers in self._reading.values():
                for ticket in readers:
                    ticket.fresh = False

    def _drop(self, user_id: str) -> None:
        old = self._entries.pop(user_id, None)
        if old is not None:
            self._size -= _size(old)


def _size(history: StoredHistory) -> int:
    """Returns how many events' worth of memory a history takes."""
    seen = 0 if history.seen is None else len(history.seen) // _SEEN_PER_EVENT
    return len(history) + seen + _OVERHEAD
