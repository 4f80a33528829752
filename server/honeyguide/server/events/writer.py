"""Writes events from one thread, which commits all calls that wait together (group commit)."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from honeyguide.sdk.errors import OverCapacity, Unavailable
from honeyguide.server.events.admission import CommitSpeed
from honeyguide.server.events.condition import StoreCondition
from honeyguide.server.events.store import RecordCounts, StoredEvent
from honeyguide.server.events.tables import EventRow

__all__ = ["Commits", "EventWriter", "WritableTables", "Write"]

T = TypeVar("T")

_IDLE_SECONDS = 1.0
"""How long nobody writes until the writer looks whether it could."""
_GROUP_EVENTS = 10_000
"""Events of a commit that gains nothing more from sharing its fsync."""
_TRIES = 5
"""How often a group is tried that collides with other servers' transactions; of those that collide one always ends."""


@dataclass(slots=True, eq=False)
class Write(Generic[T]):
    """Call that waits for the disk: it records events, or does some other work."""

    events: Sequence[StoredEvent] = ()
    work: Callable[[Any], T] | None = None
    """None: it records `events`."""
    users: frozenset[str] = frozenset()
    """Whose events the work changes."""
    alone: bool = False
    """Whether nobody else, of no server, may write meanwhile: it deletes what others may be about to use."""
    size: int = 0
    """How many events count as waiting; 0: it is never refused."""
    scrub: bool = False
    """Whether what it deletes must leave the write-ahead log too."""
    future: Future[T] = field(default_factory=Future)


class WritableTables(Protocol):
    """Tables as the writing thread changes them, a transaction at a time."""

    def begin(self, *, alone: bool) -> None:
        """Begins a transaction; ``alone``: nobody else, of no server, may write until it ends."""
        ...  # pragma: no cover

    def record(
        self, calls: Sequence[Sequence[StoredEvent]]
    ) -> tuple[list[RecordCounts], list[tuple[StoredEvent, EventRow]]]:
        """Writes the events of some calls; returns the counts of each, and the rows that the cache learns of."""
        ...  # pragma: no cover

    def number_commit(self, users: AbstractSet[int] | None) -> int:
        """Numbers the transaction, at its end, and writes something even where nothing was recorded.

        Args:
            users: numbers of those whose events were added, and nothing else was done; None: it may be anybody's.
        """
        ...  # pragma: no cover

    def touched_by_others(self, since: int) -> frozenset[str] | None:
        """Returns whose events other processes' commits after ``since`` touched; None: it may be anybody's."""
        ...  # pragma: no cover

    def commit(self) -> None:
        """Ends the transaction; what it wrote is on disk."""
        ...  # pragma: no cover

    def roll_back(self) -> None:
        """Undoes the transaction, where one is open; raises nothing."""
        ...  # pragma: no cover

    def lost(self) -> str:
        """Says why what is committed would be forgotten; "": it would not. Asked at each commit."""
        ...  # pragma: no cover

    def look(self) -> str:
        """Says why nothing could be written; "": nothing is known. Asked each second while nobody writes."""
        ...  # pragma: no cover

    def is_fault(self, error: Exception) -> bool:
        """Says whether an error is the store's, and no call's."""
        ...  # pragma: no cover

    def is_collision(self, error: Exception) -> bool:
        """Says whether it is another server's transaction that was in the way, so that a new try may do."""
        ...  # pragma: no cover

    def is_damage(self, error: Exception) -> bool:
        """Says whether it concerns only those whose part of the store is damaged."""
        ...  # pragma: no cover

    def scrub(self) -> bool:
        """Erases what deletions left; says whether it is done."""
        ...  # pragma: no cover

    def close(self) -> None:
        """Frees everything."""
        ...  # pragma: no cover


class Commits(Protocol):
    """What learns of each commit before its calls are answered; see `HistoryCache`."""

    def lacks(self, commits: int) -> int | None:
        """Returns the newest commit known, where others up to this one are not; None: all are known."""
        ...  # pragma: no cover

    def announce(self, commit: int) -> None:
        """Says that a commit follows."""
        ...  # pragma: no cover

    def apply(
        self,
        commit: int,
        added: Iterable[tuple[StoredEvent, EventRow]] = (),
        changed: Iterable[str] = (),
        others: Iterable[str] | None = None,
    ) -> None:
        """Takes it into account."""
        ...  # pragma: no cover

    def fail(self) -> None:
        """Says that it failed."""
        ...  # pragma: no cover


class EventWriter:
    """Thread that writes, and the bounded queue in front of it."""

    def __init__(
        self,
        tables: WritableTables,
        cache: Commits,
        condition: StoreCondition,
        max_events: int,
        max_seconds: float,
        read: Callable[[], object] = lambda: None,
    ) -> None:
        """Starts the thread.

        Args:
            tables: for this thread alone, which `close` closes.
            cache: learns of each commit before the call is answered.
            condition: learns whether writing works.
            max_events: how many events may wait.
            max_seconds: how long they may wait, as far as the last commits tell.
            read: reads anything, to find out whether reading works again; raises `Unavailable`.
        """
        self._tables, self._cache, self._condition = tables, cache, condition
        self._max_events, self._max_seconds, self._read = max_events, max_seconds, read
        self._writes: queue.SimpleQueue[Write[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._queued = 0  # events that wait
        self._writing = 0  # events of the commit under way, which began at:
        self._began: float | None = None
        self._speed = CommitSpeed()
        self._scrub = False
        self.transactions = 0
        """How many transactions were committed."""
        self._thread = threading.Thread(target=self._run, name="honeyguide-events", daemon=True)
        self._thread.start()

    def submit(self, write: Write[T]) -> Future[T]:
        """Queues a call; its future is done when it is on disk. Raises `OverCapacity`, or `Unavailable` once closed."""
        with self._lock:
            if self._closed:
                raise Unavailable("the event store is closed: the server is stopping; try another one")
            if write.size and (self._queued or self._writing):
                self._admit(write.size)
            self._queued += write.size
            self._writes.put(write)
        return write.future

    def close(self) -> None:
        """Waits until what is queued is on disk; twice is once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._writes.put(None)
        self._thread.join()
        self._tables.close()

    def _admit(self, size: int) -> None:
        """Refuses what would make too many events wait, or wait too long."""
        gone = 0.0 if self._began is None else monotonic() - self._began
        seconds = self._speed.wait(self._writing, gone, self._queued + size)
        waiting = self._queued + self._writing
        if waiting + size > self._max_events:
            problem = "as many as may"
        elif seconds > self._max_seconds:
            problem = f"which takes longer than the {self._max_seconds:g} s that they may wait"
        else:
            return
        raise OverCapacity(f"{waiting} events wait for the disk, {problem}", retry_after=max(seconds, 0.05))

    def _run(self) -> None:
        """Takes all that waits and commits it at once, until the writer is closed."""
        more = True
        while more:
            try:
                waiting = [self._writes.get(timeout=_IDLE_SECONDS)]
            except queue.Empty:
                self._look_around()
                continue
            size = 0
            while waiting[-1] is not None and size < _GROUP_EVENTS and not self._writes.empty():
                size += waiting[-1].size
                waiting.append(self._writes.get())
            more = waiting[-1] is not None
            group = [write for write in waiting if write is not None]
            events = sum(write.size for write in group)
            began = monotonic()
            with self._lock:
                self._queued -= events
                self._writing, self._began = events, began
            # A caller that went away while it waited is dropped before anything is written.
            live = [write for write in group if write.future.set_running_or_notify_cancel()]
            try:
                results = self._commit(live) if live else []
            except Exception as error:  # boundary: a writer that ends would leave every later caller waiting
                self._cache.fail()
                results = [error] * len(live)
            for write, result in zip(live, results, strict=True):
                if isinstance(result, Exception):
                    write.future.set_exception(result)
                else:
                    write.future.set_result(result)
            with self._lock:
                self._writing, self._began = 0, None
                if live and all(write.work is None for write in live):
                    self._speed.observe(sum(write.size for write in live), monotonic() - began)

    def _look_around(self) -> None:
        """Finds out while nobody writes what would work where the last try failed: a commit of nothing, a read."""
        if self._condition.cannot_read:
            with contextlib.suppress(Unavailable):
                self._read()
        if problem := self._tables.look():
            self._condition.write_failed(problem)
        elif self._condition.cannot_write:
            self._commit([])
        elif self._scrub:
            self._scrub = not self._tables.scrub()

    def _commit(self, group: list[Write[Any]], tries: int = _TRIES) -> list[Any]:
        """Writes some calls in one transaction; returns each one's result, or the error that kept it from the disk."""
        if problem := self._tables.lost():
            return self._lost(problem, group)
        try:
            self._tables.begin(alone=any(write.alone for write in group))
            results, added = self._write(group)
            only_records = all(write.work is None for write in group)
            commit = self._tables.number_commit({row[0] for _, row in added} if only_records else None)
            since = self._cache.lacks(commit - 1)
            others = () if since is None else self._tables.touched_by_others(since)
            self._cache.announce(commit)
            self._tables.commit()
        except Exception as error:  # boundary: one group of calls; the writer goes on
            self._cache.fail()
            self._tables.roll_back()
            if tries > 1 and self._tables.is_collision(error):
                return self._commit(group, tries - 1)
            if self._tables.is_fault(error):
                damage = self._tables.is_damage(error)
                (self._condition.damaged if damage else self._condition.write_failed)(str(error))
                if len(group) <= 1 or not damage:
                    problem = f"the events could not be stored ({error}); none of them was: try again later"
                    return [Unavailable(problem) for _ in group]
            elif len(group) == 1:
                return [error]
            # One call holds what cannot be stored, or belongs where the file is damaged; its mates are innocent.
            return [result for write in group for result in self._commit([write])]
        self.transactions += 1
        self._cache.apply(commit, added, frozenset[str]().union(*(write.users for write in group)), others)
        if problem := self._tables.lost():  # after the commit: what was lost before it must not be acknowledged
            return self._lost(problem, group)
        self._condition.write_well()
        if self._scrub or any(write.scrub for write in group):
            self._scrub = not self._tables.scrub()
        return results

    def _lost(self, problem: str, group: list[Write[Any]]) -> list[Any]:
        self._condition.write_failed(problem)
        # What exactly is wrong is for the operator; the name of a file is nobody else's business.
        told = "the store of events was taken away; nothing can be stored until it is back: try another server"
        return [Unavailable(told) for _ in group]

    def _write(self, group: list[Write[Any]]) -> tuple[list[Any], list[tuple[StoredEvent, EventRow]]]:
        """Does the work of some calls, in their order, those that record events in a row at once."""
        results: list[Any] = []
        added: list[tuple[StoredEvent, EventRow]] = []
        for records, writes in groupby(group, key=lambda write: write.work is None):
            if records:
                counts, rows = self._tables.record([write.events for write in writes])
                results += counts
                added += rows
            else:
                results += [write.work(self._tables) for write in writes if write.work]
        return results, added
