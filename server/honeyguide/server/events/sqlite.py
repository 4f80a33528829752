"""Keeps events in SQLite: what is acknowledged is on disk, and the next read knows it.

One thread writes. It takes every call that waits and commits them together, so that many callers share one fsync
(group commit). Readers have connections of their own and a cache; WAL lets them read while the writer writes. Several
processes may open one file: each notices the others' commits before it answers from its cache.
"""

from __future__ import annotations

import base64
import hashlib
import queue
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl
import structlog

from honeyguide.sdk.errors import InvalidArgument, OverCapacity, Unavailable
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.server.events.cache import HistoryCache
from honeyguide.server.events.event_file import (
    connect,
    delete_user,
    execute_patiently,
    import_frame,
    open_file,
    record,
)
from honeyguide.server.events.store import (
    MAX_HISTORY_EVENTS,
    MAX_SEEN_ITEMS,
    Page,
    RecordCounts,
    StoredEvent,
    StoredHistory,
    UserPage,
)

__all__ = ["SqliteEventStore"]

_GROUP_EVENTS = 10_000  # a commit larger than this gains nothing more from sharing its fsync
_HISTORY = """SELECT item, time_ms, type, dwell_seconds, clicks, quantity, value FROM events
    WHERE user = (SELECT id FROM users WHERE name = ?) ORDER BY time_ms DESC, id DESC LIMIT ?"""
_COLUMNS = {"items": np.int64, "times_ms": np.int64, "event_types": np.int32} | dict.fromkeys(
    EVENT_FEATURES, np.float32
)
_SEEN = """SELECT item FROM events WHERE user = (SELECT id FROM users WHERE name = ?)
    GROUP BY item ORDER BY max(time_ms) DESC LIMIT ?"""
_PAGE = """SELECT i.name, e.time_ms, t.name, dwell_seconds, clicks, quantity, value,
        coalesce(request_id, ''), coalesce(event_id, ''), e.id
    FROM events e JOIN items i ON i.id = e.item JOIN types t ON t.id = e.type
    WHERE e.user = (SELECT id FROM users WHERE name = ?) AND (e.time_ms, e.id) < (?, ?)
    ORDER BY e.time_ms DESC, e.id DESC LIMIT ?"""
_COUNT = "SELECT count(*) FROM events WHERE user = (SELECT id FROM users WHERE name = ?)"
_USERS = """SELECT name FROM users u WHERE name > ? AND EXISTS (SELECT 1 FROM events WHERE user = u.id)
    ORDER BY name LIMIT ?"""
_NEWEST = (1 << 62, 1 << 62)
_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Job(Generic[_T]):
    work: Callable[[sqlite3.Connection], _T]
    users: frozenset[str]
    """Whose histories it changes."""
    size: int
    """How many events it writes."""
    scrub: bool = False
    """Whether what it deletes must leave the write-ahead log too."""
    future: Future[_T] = field(default_factory=Future)


@dataclass(slots=True, eq=False)
class _Reader:
    connection: sqlite3.Connection
    data_version: int = -1


class SqliteEventStore:
    """`EventStore` in one file of this machine."""

    def __init__(self, path: Path, *, cache_events: int = 2_000_000, max_queued_events: int = 50_000) -> None:
        """Opens the store.

        Args:
            path: the SQLite file, made when it is missing.
            cache_events: how many events of histories stay in memory, about 36 bytes each.
            max_queued_events: how many events may wait for the disk before calls are refused.

        Raises `ConfigError` when the file is corrupt, foreign, of a newer format, or cannot be written.
        """
        self._path = path
        self._writer = open_file(path)
        self._writer.execute("PRAGMA busy_timeout = 0")  # `execute_patiently` waits
        self._cache = HistoryCache(cache_events)
        self._readers: queue.SimpleQueue[_Reader] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._queued = 0
        self._max_queued = max_queued_events
        self._seen = int(
            self._writer.execute("SELECT commits FROM state").fetchone()[0]
        )  # the newest commit that the cache takes into account
        self._own = 0  # the newest commit this process made or is making
        self._scrub = False
        self.transactions = 0
        """How many transactions this process committed."""
        self._log = structlog.get_logger("honeyguide.events")
        self._thread = threading.Thread(target=self._run, name="honeyguide-events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits until what is queued is on disk, then closes the file. No other call may be under way."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()
        while not self._readers.empty():
            self._readers.get().connection.close()
        self._writer.close()

    def __enter__(self) -> SqliteEventStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing

    def record(self, events: Sequence[StoredEvent]) -> Future[RecordCounts]:
        """Stores events; the future is done when they are on disk and every later read knows them.

        Raises `OverCapacity` at once when too many wait; the future holds `Unavailable` when the disk refuses, and then
        none of them is stored. A future that is cancelled while it waits stores nothing.
        """
        users = frozenset(e.user_id for e in events)
        return self._submit(_Job(lambda db: record(db, events), users, len(events)))

    def delete_user(self, user_id: str) -> Future[int]:
        """Deletes all events of a user, from the file's free pages too; the future has how many there were.

        Raises as `record` does.
        """
        return self._submit(_Job(lambda db: delete_user(db, user_id), frozenset([user_id]), 1, scrub=True))

    def import_events(self, events: pl.DataFrame) -> RecordCounts:
        """Stores many events in one transaction; blocks until they are on disk.

        Args:
            events: columns user_id, item_id (text), time_ms (int64), and optionally event_type (text), dwell_seconds,
                clicks, quantity, value (NaN or null: not known), event_id (text; makes a second import harmless);
                events of a user with equal times in the order they happened.

        Raises as `record` does.
        """
        return self._call(lambda db: import_frame(db, events), frozenset(events["user_id"].unique().to_list()))

    def _call(self, work: Callable[[sqlite3.Connection], _T], users: frozenset[str] = frozenset()) -> _T:
        return self._submit(_Job(work, users, 0)).result()

    def _submit(self, job: _Job[_T]) -> Future[_T]:
        with self._lock:
            if self._closed:
                raise Unavailable("the event store is closed: the server is stopping; try another one")
            if self._queued + job.size > self._max_queued and self._queued:
                raise OverCapacity(f"{self._queued} events wait for the disk, as many as may", retry_after=0.5)
            self._queued += job.size
            self._jobs.put(job)
        return job.future

    def _run(self) -> None:
        """Takes all that waits and commits it at once, until the store is closed."""
        more = True
        while more:
            waiting = [self._jobs.get()]
            size = 0
            while waiting[-1] is not None and size < _GROUP_EVENTS and not self._jobs.empty():
                size += waiting[-1].size
                waiting.append(self._jobs.get())
            more = waiting[-1] is not None
            jobs = [job for job in waiting if job is not None]
            # A caller that went away while it waited is dropped before anything is written.
            live = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if live:
                try:
                    self._commit(live)
                except Exception as error:  # boundary: a writer that ends would leave every later caller waiting
                    for job in live:
                        if not job.future.done():
                            job.future.set_exception(error)
            with self._lock:
                self._queued -= sum(job.size for job in jobs)

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        """Writes some jobs in one transaction and answers each; nothing of a failed one is stored."""
        db = self._writer
        try:
            execute_patiently(db, "BEGIN IMMEDIATE")
            results = [job.work(db) for job in jobs]
            db.execute("UPDATE state SET commits = commits + 1")
            commit = int(db.execute("SELECT commits FROM state").fetchone()[0])
            with self._lock:
                self._own = commit
            db.execute("COMMIT")
        except Exception as error:  # boundary: one group of calls; the writer goes on
            with self._lock:
                self._own = 0
            self._cache.forget_all()  # a reader may have taken another process's commit for ours
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._fail(jobs, error)
            return
        self.transactions += 1
        with self._lock:
            foreign = commit > self._seen + 1
            self._seen = max(self._seen, commit)
        if foreign:
            self._cache.forget_all()
        else:
            self._cache.forget({user for job in jobs for user in job.users})
        if self._scrub or any(job.scrub for job in jobs):
            self._empty_log()
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)

    def _fail(self, jobs: list[_Job[Any]], error: Exception) -> None:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError):
            for job in jobs:
                job.future.set_exception(
                    Unavailable(f"the events could not be stored ({error}); none of them was: try again later")
                )
            self._log.error("events not stored", calls=len(jobs), error=str(error))
        elif len(jobs) == 1:
            jobs[0].future.set_exception(error)
        else:  # one call holds what cannot be stored; its mates are innocent
            for job in jobs:
                self._commit([job])

    def _empty_log(self) -> None:
        """Moves the write-ahead log into the file and truncates it; a reader elsewhere may delay that."""
        self._scrub = True
        try:
            self._writer.execute("PRAGMA busy_timeout = 200")
            busy, *_ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._scrub = bool(busy)
        except sqlite3.Error as error:  # what was committed stays so; the next commit tries again
            self._log.error("write-ahead log not emptied", error=str(error))
        finally:
            self._writer.execute("PRAGMA busy_timeout = 0")

    # Reading

    def history(self, user_id: str) -> StoredHistory:
        """Returns one user's events, oldest first; an unknown user's history is empty."""
        return self.histories([user_id])[0]

    def histories(self, user_ids: Sequence[str]) -> list[StoredHistory]:
        """Returns the history of each user, in the given order."""
        with self._reader() as reader:
            self._notice_others(reader)
            cached = [self._cache.get(user_id) for user_id in user_ids]
            return [
                self._read(reader, user_id) if history is None else history
                for user_id, history in zip(user_ids, cached, strict=True)
            ]

    def count(self, user_id: str) -> int:
        """Returns how many events a user has."""
        with self._reader() as reader:
            return int(reader.connection.execute(_COUNT, (user_id,)).fetchone()[0])

    def item_ids(self, start: int = 0) -> list[str]:
        """Returns the item ids from store number ``start`` on; numbers never change."""
        return self._names("SELECT name FROM items WHERE id >= ? ORDER BY id", start)

    def event_types(self, start: int = 0) -> list[str]:
        """Returns the event types from store number ``start`` on; number 0 is ""; numbers never change."""
        return self._names("SELECT name FROM types WHERE id >= ? ORDER BY id", start)

    def page(self, user_id: str, page_size: int, token: str = "") -> Page:
        """Returns a page of a user's events, newest first.

        Events recorded meanwhile neither shift nor repeat what later pages hold.

        Args:
            user_id: the user; an unknown one has an empty page.
            page_size: how many events at most, 1 or more.
            token: `Page.next_token` of the page before; "": the first page.

        Raises `InvalidArgument` when the token is not one of this user's.
        """
        before = _NEWEST if not token else _untoken(user_id, token)
        with self._reader() as reader:
            rows = reader.connection.execute(_PAGE, (user_id, *before, page_size + 1)).fetchall()
        events = [StoredEvent(user_id, *row[:9]) for row in rows[:page_size]]
        last = rows[page_size - 1] if len(rows) > page_size else None
        return Page(events, _token(user_id, last[1], last[9]) if last else "")

    def user_page(self, page_size: int, token: str = "") -> UserPage:
        """Returns a page of the users of whom there are events, ordered by the bytes of their ids.

        Users recorded or deleted meanwhile neither shift nor repeat what later pages hold.

        Args:
            page_size: how many users at most, 1 or more.
            token: `UserPage.next_token` of the page before; "": the first page.

        Raises `InvalidArgument` when the token is none of ours.
        """
        after = "" if not token else _untoken_user(token)
        with self._reader() as reader:
            names = [name for (name,) in reader.connection.execute(_USERS, (after, page_size + 1))]
        return UserPage(names[:page_size], _user_token(names[page_size - 1]) if len(names) > page_size else "")

    @contextmanager
    def _reader(self) -> Iterator[_Reader]:
        try:
            try:
                reader = self._readers.get_nowait()
            except queue.Empty:
                reader = _Reader(connect(self._path))
            try:
                yield reader
            finally:
                self._readers.put(reader)
        except sqlite3.Error as error:
            self._log.error("events not read", error=str(error))
            raise Unavailable(f"the events could not be read ({error}); try again later") from error

    def _notice_others(self, reader: _Reader) -> None:
        """Empties the cache when another process wrote; `data_version` makes the usual case cost microseconds."""
        version = int(reader.connection.execute("PRAGMA data_version").fetchone()[0])
        if version == reader.data_version:
            return
        commits = int(reader.connection.execute("SELECT commits FROM state").fetchone()[0])
        with self._lock:
            ours = commits == self._own == self._seen + 1  # the writer thread forgets what it touches by itself
            foreign = commits > self._seen and not ours
            if foreign:
                self._seen = commits
        if foreign:
            self._cache.forget_all()
        reader.data_version = version

    def _read(self, reader: _Reader, user_id: str) -> StoredHistory:
        ticket = self._cache.begin(user_id)
        history = None
        try:
            history = _history(reader.connection, user_id)
        finally:
            self._cache.end(ticket, history)
        return history

    def _names(self, query: str, start: int) -> list[str]:
        with self._reader() as reader:
            return [name for (name,) in reader.connection.execute(query, (start,))]


def _history(db: sqlite3.Connection, user_id: str) -> StoredHistory:
    rows = db.execute(_HISTORY, (user_id, MAX_HISTORY_EVENTS + 1)).fetchall()
    if len(rows) <= MAX_HISTORY_EVENTS:
        return StoredHistory(**_columns(rows), count=len(rows))
    db.execute("BEGIN")  # the queries that follow see one state of the file
    try:
        columns = _columns(db.execute(_HISTORY, (user_id, MAX_HISTORY_EVENTS)).fetchall())
        seen = np.array(db.execute(_SEEN, (user_id, MAX_SEEN_ITEMS + 1)).fetchall(), np.int64).ravel()
        count = int(db.execute(_COUNT, (user_id,)).fetchone()[0])
    finally:
        db.execute("COMMIT")
    seen.flags.writeable = False
    return StoredHistory(**columns, count=count, seen=seen[:MAX_SEEN_ITEMS], truncated=len(seen) > MAX_SEEN_ITEMS)


def _columns(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    """Makes the columns of a history of rows that are newest first."""
    # float64 holds item numbers and milliseconds exactly, up to 2**53; None becomes NaN.
    table = np.array(rows[::-1], np.float64).reshape(len(rows), len(_COLUMNS)).T
    columns = {name: column.astype(dtype) for (name, dtype), column in zip(_COLUMNS.items(), table, strict=True)}
    for column in columns.values():
        column.flags.writeable = False  # it is shared by every reader of the cache
    return columns


def _token(user_id: str, time_ms: int, number: int) -> str:
    place = struct.pack(">qq", time_ms, number)
    return base64.urlsafe_b64encode(place + _seal(user_id, place)).decode()


def _untoken(user_id: str, token: str) -> tuple[int, int]:
    try:
        raw = base64.b64decode(token.encode(), b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 24 or raw[16:] != _seal(user_id, raw[:16]):
        raise InvalidArgument("page_token", token, "the next_page_token of this user's previous page")
    time_ms, number = struct.unpack(">qq", raw[:16])
    return time_ms, number


def _user_token(user_id: str) -> str:
    return base64.urlsafe_b64encode(_seal("", user_id.encode()) + user_id.encode()).decode()


def _untoken_user(token: str) -> str:
    try:
        raw = base64.b64decode(token.encode(), b"-_", validate=True)
        if raw[:8] == _seal("", raw[8:]):
            return raw[8:].decode()
    except ValueError:
        pass
    raise InvalidArgument("page_token", token, "the next_page_token of the previous page of users")


def _seal(user_id: str, place: bytes) -> bytes:
    return hashlib.blake2b(place + user_id.encode(), digest_size=8).digest()
