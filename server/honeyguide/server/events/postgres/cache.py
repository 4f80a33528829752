"""Keeps histories in memory by the epochs of their users; whoever reads asks the database for these first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from honeyguide.server.events.store import StoredHistory

__all__ = ["EpochCache"]

_OVERHEAD = 16
"""Events' worth of memory that an entry costs whatever it holds."""


class EpochCache:
    """Histories asked for last, up to a number of events; thread-safe."""

    def __init__(self, capacity: int) -> None:
        """Makes an empty cache; ``capacity``: how many events it holds, about 36 bytes each."""
        self._capacity, self._size = capacity, 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[int, StoredHistory, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, user_id: str, epoch: int) -> StoredHistory | None:
        """Returns a user's history as of an epoch; None: it is not known."""
        with self._lock:
            entry = self._entries.get(user_id)
            if entry is None or entry[0] != epoch:
                return None
            self._entries.move_to_end(user_id)
            return entry[1]

    def put(self, user_id: str, epoch: int, history: StoredHistory) -> None:
        """Keeps a history that was read after its user had this epoch."""
        size = len(history) + (0 if history.seen is None else len(history.seen) // 4) + _OVERHEAD
        if size > self._capacity:
            return
        with self._lock:
            if (old := self._entries.pop(user_id, None)) is not None:
                self._size -= old[2]
            self._entries[user_id] = (epoch, history, size)
            self._size += size
            while self._size > self._capacity:
                self._size -= self._entries.popitem(last=False)[1][2]

    # A commit changes the epochs of its users, and that is all that anybody needs to know of it.

    def lacks(self, commits: int) -> int | None:
        """Lacks nothing."""

    def announce(self, commit: int) -> None:
        """Does nothing."""

    def apply(self, commit: int, added: object = (), changed: object = (), others: object = None) -> None:
        """Does nothing."""

    def fail(self) -> None:
        """Does nothing."""
