"""Reads the event file: histories from memory where they are known, pages, names; from any number of threads."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from honeyguide.sdk.errors import Unavailable
from honeyguide.server.events.cache import HistoryCache
from honeyguide.server.events.changes import changed_users
from honeyguide.server.events.condition import StoreCondition
from honeyguide.server.events.disk_file import EventFile
from honeyguide.server.events.event_file import connect, is_damage
from honeyguide.server.events.leftovers import Leftover
from honeyguide.server.events.page_tokens import event_token, read_event_token, read_user_token, user_token
from honeyguide.server.events.snapshot import read_snapshot
from honeyguide.server.events.store import UNREADABLE, Page, StoredEvent, StoredHistory, UserPage

__all__ = ["EventReader"]

_PAGE = """SELECT i.name, e.time_ms, t.name, dwell_seconds, clicks, quantity, value,
        coalesce(request_id, ''), coalesce(event_id, ''), e.id
    FROM events e JOIN items i ON i.id = e.item JOIN types t ON t.id = e.type
    WHERE e.user = (SELECT id FROM users WHERE name = ?) AND (e.time_ms, e.id) < (?, ?)
    ORDER BY e.time_ms DESC, e.id DESC LIMIT ?"""
_COUNT = "SELECT count(*) FROM events WHERE user = (SELECT id FROM users WHERE name = ?)"
_USERS = """SELECT name FROM users u WHERE name > ? AND EXISTS (SELECT 1 FROM events WHERE user = u.id)
    ORDER BY name LIMIT ?"""
_NAMES = "SELECT iif(typeof(name) = 'text', name, '') FROM {} WHERE id >= ? ORDER BY id"
"""One that was erased is ""."""
_STILL_USED = {
    "items": "SELECT DISTINCT item FROM events WHERE item IN (SELECT id FROM leftovers WHERE name = 'items')",
    "types": "SELECT DISTINCT type FROM events WHERE type IN (SELECT id FROM leftovers WHERE name = 'types')",
}
# Both look at the two ends of a user's range of the table alone, or step through what is kept.
_TOO_MUCH = """SELECT id, name, (SELECT min(time_ms) FROM events WHERE user = u.id) < ?
        OR (? AND EXISTS (SELECT 1 FROM events WHERE user = u.id ORDER BY time_ms DESC, id DESC LIMIT 1 OFFSET ?))
    FROM users u WHERE id > ? ORDER BY id LIMIT ?"""
_NEWEST = (1 << 62, 1 << 62)


@dataclass(slots=True, eq=False)
class _Connection:
    db: sqlite3.Connection
    data_version: int = -1


class EventReader:
    """Connections for reading, one for each thread that reads at the same time."""

    def __init__(self, file: EventFile, cache: HistoryCache, condition: StoreCondition) -> None:
        self._file, self._cache, self._condition = file, cache, condition
        self._idle: queue.SimpleQueue[_Connection] = queue.SimpleQueue()

    def close(self) -> None:
        """Closes the connections."""
        while not self._idle.empty():
            self._idle.get().db.close()

    def histories(self, user_ids: Sequence[str]) -> list[StoredHistory]:
        """Returns the history of each user, in the given order; `UNREADABLE` where it cannot be read."""
        try:
            with self._connection() as connection:
                self._notice_others(connection)
                cached = [self._cache.get(user_id) for user_id in user_ids]
                return [
                    self._read(connection.db, user_id) if history is None else history
                    for user_id, history in zip(user_ids, cached, strict=True)
                ]
        except Unavailable:  # not even what is in memory: others may have written since
            return [UNREADABLE] * len(user_ids)

    def count(self, user_id: str) -> int:
        """Returns how many events a user has."""
        with self._connection() as connection:
            return int(connection.db.execute(_COUNT, (user_id,)).fetchone()[0])

    def names(self, table: str, start: int) -> list[str]:
        """Returns the names of a table, "items" or "types", from store number ``start`` on."""
        with self._connection() as connection:
            return [name for (name,) in connection.db.execute(_NAMES.format(table), (start,))]

    def page(self, user_id: str, page_size: int, token: str) -> Page:
        """Returns a page of a user's events; see `EventStore.page`."""
        before = read_event_token(user_id, token) if token else _NEWEST
        with self._connection() as connection:
            rows = connection.db.execute(_PAGE, (user_id, *before, page_size + 1)).fetchall()
        events = [StoredEvent(user_id, *row[:9]) for row in rows[:page_size]]
        last = rows[page_size - 1] if len(rows) > page_size else None
        return Page(events, event_token(user_id, last[1], last[9]) if last else "")

    def user_page(self, page_size: int, token: str) -> UserPage:
        """Returns a page of the users; see `EventStore.user_page`."""
        after = read_user_token(token) if token else ""
        with self._connection() as connection:
            names = [name for (name,) in connection.db.execute(_USERS, (after, page_size + 1))]
        return UserPage(names[:page_size], user_token(names[page_size - 1]) if len(names) > page_size else "")

    def mark(self, name: str) -> str:
        """Returns the newest mark of a name; "": there is none."""
        with self._connection() as connection:
            row = connection.db.execute("SELECT place FROM marks WHERE name = ?", (name,)).fetchone()
        return row[0] if row else ""

    def totals(self) -> tuple[int, int]:
        """Returns how many events there are, and how many users have some."""
        with self._connection() as connection:
            events, users = connection.db.execute("SELECT count(*), count(DISTINCT user) FROM events").fetchone()
        return events, users

    def users_to_expire(self, after: int, users: int, before_ms: int, per_user: int) -> tuple[list[str], int | None]:
        """Returns of the next users those who have too much; see `Expiring`."""
        with self._connection() as connection:
            query = (_TOO_MUCH, (before_ms, per_user, per_user, after, users))
            rows = connection.db.execute(*query).fetchall()
        return [name for _, name, too_much in rows if too_much], rows[-1][0] if len(rows) == users else None

    def leftovers(self) -> tuple[list[Leftover], list[Leftover]]:
        """Returns the noted names that no event has, and those that one has; reads all events if it must."""
        unused: list[Leftover] = []
        used: list[Leftover] = []
        with self._connection() as connection:
            noted = [Leftover(*row) for row in connection.db.execute("SELECT * FROM leftovers")]
            for table, query in _STILL_USED.items():
                ours = {each.number: each for each in noted if each.table == table}
                # Most are found early: whoever has them all reads no further.
                for (number,) in connection.db.execute(query) if ours else ():
                    used += [ours.pop(number)] if number in ours else []
                    if not ours:
                        break
                unused += ours.values()
        return unused, used

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        connection = None
        try:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = _Connection(connect(self._file.path))
                if problem := self._file.problem():  # what was opened is another file
                    raise sqlite3.OperationalError(problem) from None
            yield connection
        except sqlite3.Error as error:
            if connection is not None:
                connection.db.close()
            (self._condition.damaged if is_damage(error) else self._condition.read_failed)(str(error))
            raise Unavailable(f"the events could not be read ({error}); try again later") from error
        except BaseException:
            if connection is not None:
                self._idle.put(connection)
            raise
        self._idle.put(connection)
        self._condition.read_well()

    def _notice_others(self, connection: _Connection) -> None:
        """Tells the cache when another process wrote; `data_version` makes the usual case cost microseconds."""
        version = int(connection.db.execute("PRAGMA data_version").fetchone()[0])
        if version != connection.data_version:
            db = connection.db
            db.execute("BEGIN")  # one moment: a number may be another user's later
            try:
                commits = int(db.execute("SELECT commits FROM state").fetchone()[0])
                if (since := self._cache.lacks(commits)) is not None:
                    self._cache.notice(commits, changed_users(db, since, commits))
            finally:
                db.execute("COMMIT")
            connection.data_version = version

    def _read(self, db: sqlite3.Connection, user_id: str) -> StoredHistory:
        ticket = self._cache.begin(user_id)
        snapshot = None
        try:
            snapshot = read_snapshot(db, user_id)
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:  # boundary: one user's rows, or garbage
            if is_damage(error):
                self._condition.damaged(str(error))
            return UNREADABLE
        finally:
            self._cache.end(ticket, snapshot)
        return snapshot.history
