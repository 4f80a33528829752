"""Keeps histories in memory, and never one that is older than an acknowledged write."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from honeyguide.server.events.snapshot import Snapshot
from honeyguide.server.events.store import StoredEvent, StoredHistory
from honeyguide.server.events.tables import EventRow

__all__ = ["HistoryCache", "Ticket"]

_OVERHEAD = 16
"""Events' worth of memory that an entry costs whatever it holds."""
_SEEN_PER_EVENT = 2
"""Seen items, with their times, that cost as much memory as one event."""
_ROW = 12
"""Events' worth of memory that a row costs which is not yet part of its history."""


@dataclass(slots=True, eq=False)
class Ticket:
    """Token of one read under way; a write that meanwhile touches the user spoils it."""

    user_id: str
    fresh: bool = True


@dataclass(slots=True, eq=False)
class _Entry:
    snapshot: Snapshot
    rows: list[EventRow] = field(default_factory=list)
    """Written since; the next `get` makes them part of the snapshot."""

    @property
    def size(self) -> int:
        history = self.snapshot.history
        seen = 0 if history.seen is None else len(history.seen) // _SEEN_PER_EVENT
        return len(history) + seen + _OVERHEAD + _ROW * len(self.rows)


class HistoryCache:
    """Histories asked for last, up to a number of events; thread-safe.

    It knows the newest commit that it takes into account. What another process commits makes it forget the users
    concerned; what this process commits is added to the histories it holds.
    """

    def __init__(self, capacity: int, commits: int) -> None:
        """Makes an empty cache.

        Args:
            capacity: how many events it holds, about 36 bytes each.
            commits: the number of the file's newest commit.
        """
        self._capacity = capacity
        self._size = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._reading: dict[str, set[Ticket]] = {}
        self._seen = commits  # the newest commit that is taken into account
        self._own = 0  # the newest commit that this process made or is making

    def __len__(self) -> int:
        return len(self._entries)

    # Commits

    def lacks(self, commits: int) -> int | None:
        """Returns the newest commit taken into account, where one up to this number is not and no `apply` follows."""
        with self._lock:
            ours = commits == self._own == self._seen + 1
            return None if commits <= self._seen or ours else self._seen

    def announce(self, commit: int) -> None:
        """Says that this process is about to make a commit, and will call `apply` or `fail`."""
        with self._lock:
            self._own = commit

    def apply(
        self,
        commit: int,
        added: Iterable[tuple[StoredEvent, EventRow]] = (),
        changed: Iterable[str] = (),
        others: Iterable[str] | None = None,
    ) -> None:
        """Takes a commit of this process into account, before anybody is told of it.

        Args:
            commit: its number.
            added: the events it stored, in the order of their numbers.
            changed: users whose events it changed in any other way.
            others: users whose events other processes' commits before it touched, those not taken into account; None:
                it may be anybody's.
        """
        with self._lock:
            foreign = commit > self._seen + 1
            self._seen = max(self._seen, commit)
            if foreign:
                if others is None:
                    self._forget_all()
                    return
                self._forget(others)
            for event, row in added:
                if event.user_id in self._entries or event.user_id in self._reading:
                    self._add(event.user_id, row)
            self._forget(changed)
            self._shrink()

    def fail(self) -> None:
        """Says that the commit announced failed: a reader may have taken another process's for it."""
        with self._lock:
            self._own = 0
            self._forget_all()

    def notice(self, commits: int, touched: Iterable[str] | None = None) -> None:
        """Takes into account that the file's newest commit has this number; it may be another process's.

        Args:
            commits: its number.
            touched: users whose events the commits after the last one taken into account touched; None: anybody's.
        """
        with self._lock:
            ours = commits == self._own == self._seen + 1  # `apply` follows
            if commits > self._seen and not ours:
                self._seen = commits
                if touched is None:
                    self._forget_all()
                else:
                    self._forget(touched)

    # Histories

    def get(self, user_id: str) -> StoredHistory | None:
        """Returns what is known of a user; None: the file must be read."""
        with self._lock:
            entry = self._entries.get(user_id)
            if entry is None:
                return None
            self._entries.move_to_end(user_id)
            snapshot, rows = entry.snapshot, tuple(entry.rows)
        if not rows:
            return snapshot.history
        extended = snapshot.extended(rows)  # a long one takes a millisecond: not under the lock
        with self._lock:
            if self._entries.get(user_id) is entry and entry.snapshot is snapshot:
                self._drop(user_id)
                if extended is not None:
                    self._put(user_id, _Entry(extended, entry.rows[len(rows) :]))
        return None if extended is None else extended.history

    def begin(self, user_id: str) -> Ticket:
        """Announces a read of the file; to be called before the read begins, and ended by `end` in any case."""
        ticket = Ticket(user_id)
        with self._lock:
            self._reading.setdefault(user_id, set()).add(ticket)
        return ticket

    def end(self, ticket: Ticket, snapshot: Snapshot | None) -> None:
        """Ends a read; what it found is kept unless a write spoiled it. None: it failed."""
        with self._lock:
            readers = self._reading[ticket.user_id]
            readers.discard(ticket)
            if not readers:
                del self._reading[ticket.user_id]
            if snapshot is None or not ticket.fresh:
                return
            self._drop(ticket.user_id)
            self._put(ticket.user_id, _Entry(snapshot))

    def _put(self, user_id: str, entry: _Entry) -> None:
        if entry.size <= self._capacity:
            self._entries[user_id] = entry
            self._size += entry.size
            self._shrink()

    def _add(self, user_id: str, row: EventRow) -> None:
        self._spoil(user_id)
        entry = self._entries.get(user_id)
        if entry is None:
            return
        if 2 * _ROW * (len(entry.rows) + 1) > entry.size:  # reading anew costs less than what waits here
            self._drop(user_id)
            return
        entry.rows.append(row)
        self._size += _ROW

    def _spoil(self, user_id: str) -> None:
        for ticket in self._reading.get(user_id, ()):
            ticket.fresh = False

    def _drop(self, user_id: str) -> None:
        entry = self._entries.pop(user_id, None)
        if entry is not None:
            self._size -= entry.size

    def _shrink(self) -> None:
        while self._size > self._capacity:
            self._drop(next(iter(self._entries)))

    def _forget(self, user_ids: Iterable[str]) -> None:
        for user_id in user_ids:
            self._drop(user_id)
            self._spoil(user_id)

    def _forget_all(self) -> None:
        self._entries = OrderedDict()
        self._size = 0
        for user_id in self._reading:
            self._spoil(user_id)
