"""Writes to the tables of an event file: what one process adds and deletes, a transaction at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import cast

import polars as pl
import structlog

from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.server.events.changes import changed_users, note_change
from honeyguide.server.events.disk_file import EventFile
from honeyguide.server.events.event_file import execute_patiently, is_damage
from honeyguide.server.events.leftovers import Leftover
from honeyguide.server.events.store import RecordCounts, StoredEvent

__all__ = ["EventRow", "EventTables"]

EventRow = tuple[
    int, int, int, int, int, float | None, float | None, float | None, float | None, str | None, str | None
]
"""One row of the table of events: user, time_ms, number, item, type, the four features, request_id, event_id."""

_MAX_NAMES = 100_000
"""Names of one table whose numbers stay in memory, about 200 bytes each."""
_INSERT = """INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (user, event_id) WHERE event_id IS NOT NULL DO NOTHING"""
_IS_STORED = "SELECT 1 FROM events WHERE user = ? AND time_ms = ? AND id = ?"
_FIND = {
    "users": "SELECT id FROM users WHERE name = ?",
    "items": "SELECT id FROM items WHERE name = ?",
    "types": "SELECT id FROM types WHERE name = ?",
}
_NEWEST_OF = "SELECT max(time_ms) FROM events WHERE user = ?"
_NOTE = {
    "items": """INSERT OR REPLACE INTO leftovers SELECT DISTINCT 'items', item, ? FROM events WHERE user = ?""",
    "types": """INSERT OR REPLACE INTO leftovers SELECT DISTINCT 'types', type, ? FROM events
        WHERE user = ? AND type <> 0""",
}
_PLACES = "SELECT time_ms, id FROM events WHERE user = ? ORDER BY time_ms"
_MAX_NUMBER = 1 << 62
_FORGET = "DELETE FROM leftovers WHERE name = ? AND id = ?"
# A number never goes to another name. Whatever it is, a name is text, and so never the same as bytes.
_ERASE = {table: f"UPDATE {table} SET name = CAST(id AS BLOB) WHERE id = ?" for table in ("items", "types")}  # noqa: S608  # ours
# Numbers are dense from 0, so that readers may use them as places in a list.
_ADD = {
    "users": "INSERT INTO users SELECT coalesce(max(id) + 1, 0), ? FROM users",
    "items": "INSERT INTO items SELECT coalesce(max(id) + 1, 0), ? FROM items",
    "types": "INSERT INTO types SELECT coalesce(max(id) + 1, 0), ? FROM types",
}


class EventTables:
    """Tables of an open file, as its one writing thread changes them.

    Numbers of names stay in memory until another process commits or a transaction is rolled back.
    """

    def __init__(self, db: sqlite3.Connection, file: EventFile | None = None) -> None:
        """Takes a connection for its thread alone, and what it was opened from; nothing else is acknowledged."""
        self._db, self._file = db, file
        self._log = structlog.get_logger("honeyguide.events")
        db.execute("PRAGMA busy_timeout = 0")  # `execute_patiently` waits
        self._users, self._items, self._types = (_Numbers(db, table) for table in ("users", "items", "types"))
        self._next_event = 0
        self._newest_ms = 0  # no event is newer
        self._commits = -1  # as of which the numbers in memory are right; -1: of none

    def begin(self, *, alone: bool) -> None:  # noqa: ARG002  # a file has one writer at a time anyway
        """Begins a transaction, waiting for that of another process."""
        execute_patiently(self._db, "BEGIN IMMEDIATE")
        state = "SELECT next_event, commits, newest_ms, EXISTS (SELECT 1 FROM leftovers) FROM state"
        self._next_event, commits, self._newest_ms, leftovers = self._db.execute(state).fetchone()
        self._items.reclaims = self._types.reclaims = bool(leftovers)
        if commits != self._commits:  # others may have numbered names and deleted users
            for numbers in (self._users, self._items, self._types):
                numbers.clear()
            self._commits = commits

    def record(
        self, calls: Sequence[Sequence[StoredEvent]]
    ) -> tuple[list[RecordCounts], list[tuple[StoredEvent, EventRow]]]:
        """Writes the events of some calls; an event_id that its user has already is a duplicate.

        Returns the counts of each call, and the events stored with their rows.
        """
        users, items, types = self._users, self._items, self._types
        events = list(chain.from_iterable(calls))
        rows: list[EventRow] = []
        newest = self._newest_ms
        latest: dict[int, int] | None = None  # by user, once the clock was found to be behind
        for number, event in enumerate(events, self._next_event):
            user, item, time, kind, dwell, clicks, quantity, value, request, key, now = event
            if time > newest:
                newest = time
            elif now and time < newest:
                if latest is None:
                    latest = {}
                    for row in rows:
                        latest[row[0]] = max(row[1], latest.get(row[0], 0))
                time = max(time, latest.get(users[user], 0), self._newest_of(users[user]))
            if latest is not None:
                latest[users[user]] = max(time, latest.get(users[user], 0))
            numbers = users[user], time, number, items[item], types[kind]
            rows.append((*numbers, dwell, clicks, quantity, value, request or None, key or None))
        self._newest_ms = newest
        accepted = self._insert(rows)
        pairs = list(zip(events, rows, strict=True))
        if accepted == len(rows):
            return [RecordCounts(len(call), 0) for call in calls], pairs
        stored = [row[-1] is None or bool(self._db.execute(_IS_STORED, row[:3]).fetchone()) for row in rows]
        counts, start = [], 0
        for call in calls:
            accepted = sum(stored[start : start + len(call)])
            counts.append(RecordCounts(accepted, len(call) - accepted))
            start += len(call)
        return counts, [pair for pair, is_stored in zip(pairs, stored, strict=True) if is_stored]

    def import_frame(self, events: pl.DataFrame) -> RecordCounts:
        """Writes a table of events, as in `GroupCommitStore.import_events`."""
        if events.is_empty():
            return RecordCounts(0, 0)
        if "event_type" not in events.columns:
            events = events.with_columns(event_type=pl.lit(""))
        numbered = [
            events[column].replace_strict(
                {name: numbers[name] for name in events[column].unique(maintain_order=True)},
                return_dtype=pl.Int64,
            )
            for column, numbers in (("user_id", self._users), ("item_id", self._items), ("event_type", self._types))
        ]
        nothing = pl.Series([None], dtype=pl.Float64).new_from_index(0, events.height)
        rows = zip(
            numbered[0].to_list(),
            events["time_ms"].to_list(),
            range(self._next_event, self._next_event + events.height),
            *(names.to_list() for names in numbered[1:]),
            *(events[name].fill_nan(None) if name in events.columns else nothing for name in EVENT_FEATURES),
            events["request_id"] if "request_id" in events.columns else nothing,
            events["event_id"] if "event_id" in events.columns else nothing,
            strict=True,
        )
        accepted = self._insert(list(rows))
        self._newest_ms = max(self._newest_ms, cast("int", events["time_ms"].max()))
        return RecordCounts(accepted, events.height - accepted)

    def set_mark(self, name: str, place: str) -> None:
        """Notes how far something came, together with what the transaction writes."""
        self._db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, place))

    def delete_user(self, user_id: str) -> int:
        """Deletes a user with all events; returns how many. Names that may be nobody's now are noted."""
        row = self._db.execute(_FIND["users"], (user_id,)).fetchone()
        if row:
            for note in _NOTE.values():
                self._db.execute(note, (self._commits + 1, row[0]))
            self._let_reclaim()
        deletion = self._db.execute("DELETE FROM events WHERE user = (SELECT id FROM users WHERE name = ?)", (user_id,))
        self._db.execute("DELETE FROM users WHERE name = ?", (user_id,))
        self._users.pop(user_id, None)
        return deletion.rowcount

    def move_user(self, old: str, new: str) -> bool:
        """Gives a user's events to another; says whether there were any."""
        source, target = (self._db.execute(_FIND["users"], (name,)).fetchone() for name in (old, new))
        if source is None:
            return False
        if target is None:
            self._db.execute("UPDATE users SET name = ? WHERE id = ?", (new, *source))
        else:
            self._db.execute("UPDATE OR IGNORE events SET user = ? WHERE user = ?", (*target, *source))
            self._db.execute("DELETE FROM events WHERE user = ?", source)  # those the other has, too
            self._db.execute("DELETE FROM users WHERE id = ?", source)
        for name in (old, new):
            self._users.pop(name, None)
        return True

    def expire(self, user_ids: Sequence[str], before_ms: int, per_user: int, most: int) -> int:
        """Deletes up to ``most`` events of users that are too old or too many, oldest first; returns how many.

        Names that may be nobody's now are noted, and users without an event are deleted.
        """
        left = most
        for user_id in user_ids:
            if left <= 0:
                break
            row = self._db.execute(_FIND["users"], (user_id,)).fetchone()
            if row is None:
                continue
            (user,) = row
            last = (before_ms - 1, _MAX_NUMBER)
            if per_user:
                too_many = self._db.execute(f"{_PLACES} DESC, id DESC LIMIT 1 OFFSET ?", (user, per_user)).fetchone()
                last = max(last, too_many or last)
            in_step = self._db.execute(f"{_PLACES}, id LIMIT 1 OFFSET ?", (user, left - 1)).fetchone()
            last = min(last, in_step or last)
            for note in _NOTE.values():
                self._db.execute(f"{note} AND (time_ms, id) <= (?, ?)", (self._commits + 1, user, *last))
            gone = self._db.execute("DELETE FROM events WHERE user = ? AND (time_ms, id) <= (?, ?)", (user, *last))
            left -= gone.rowcount
            self._db.execute(
                "DELETE FROM users WHERE id = ? AND NOT EXISTS (SELECT 1 FROM events WHERE user = ?)", (user, user)
            )
            self._users.pop(user_id, None)
        self._let_reclaim()
        return most - left

    def erase_names(self, unused: Sequence[Leftover], used: Sequence[Leftover]) -> None:
        """Erases names that no event has, and forgets those that one has, but for what was noted or used since."""
        for leftovers in (unused, used):
            for table, number, commit in leftovers:
                gone = self._db.execute(f"{_FORGET} AND noted = ?", (table, number, commit)).rowcount
                if gone and leftovers is unused:
                    self._db.execute(_ERASE[table], (number,))
        self._items.clear()
        self._types.clear()

    def number_commit(self, users: AbstractSet[int] | None = None) -> int:
        """Numbers the transaction, at its end: the first of a file is 1.

        ``users``: the numbers of those it touches; None: it may be anybody.
        """
        note_change(self._db, self._commits + 1, users)
        state = self._next_event, self._commits + 1, self._newest_ms
        self._db.execute("UPDATE state SET next_event = ?, commits = ?, newest_ms = ?", state)
        return self._commits + 1

    def touched_by_others(self, since: int) -> frozenset[str] | None:
        """Returns whose events the commits after ``since`` touched, before this one; None: it may be anybody's."""
        return changed_users(self._db, since, self._commits)

    def commit(self) -> None:
        """Ends the transaction; what it wrote is on disk."""
        self._db.execute("COMMIT")
        self._commits += 1

    def roll_back(self) -> None:
        """Undoes the transaction, where one is open."""
        self._commits = -1
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def lost(self) -> str:
        """Says which of the store's files is no longer the one that was opened; "": they all are."""
        return self._file.problem() if self._file is not None else ""

    def look(self) -> str:
        """Does as `lost`."""
        return self.lost()

    def is_fault(self, error: Exception) -> bool:
        """Says whether an error is the file's, and no call's."""
        return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError)

    def is_collision(self, error: Exception) -> bool:  # noqa: ARG002  # as in `begin`
        """Says no: transactions wait for each other."""
        return False

    def is_damage(self, error: Exception) -> bool:
        """Says whether it concerns only those whose pages are damaged."""
        return is_damage(error)

    def scrub(self) -> bool:
        """Moves the write-ahead log into the file and truncates it; False: a reader elsewhere delays that."""
        try:
            self._db.execute("PRAGMA busy_timeout = 200")
            busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:  # what was committed stays so; it is tried again
            self._log.error("write-ahead log not emptied", error=str(error))
            return False
        finally:
            self._db.execute("PRAGMA busy_timeout = 0")
        return not busy

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    def _let_reclaim(self) -> None:
        """Sees to it that whoever uses a name that was noted looks it up, and so reclaims it."""
        for numbers in (self._items, self._types):
            numbers.clear()
            numbers.reclaims = True

    def _newest_of(self, user: int) -> int:
        """Returns the time of the newest event stored of a user; 0: there is none."""
        return self._db.execute(_NEWEST_OF, (user,)).fetchone()[0] or 0

    def _insert(self, rows: list[EventRow]) -> int:
        self._next_event += len(rows)
        return self._db.executemany(_INSERT, rows).rowcount


class _Numbers(dict[str, int]):
    """Numbers of one table's names; a new name that is asked for gets the next one."""

    def __init__(self, db: sqlite3.Connection, table: str) -> None:
        super().__init__()
        self._db, self._table = db, table
        self.reclaims = False
        """Whether a name that is asked for may be a leftover, which it then no longer is."""

    def __missing__(self, name: str) -> int:
        row = self._db.execute(_FIND[self._table], (name,)).fetchone()
        if row and self.reclaims:
            self._db.execute(_FORGET, (self._table, row[0]))
        number = int(row[0]) if row else self._db.execute(_ADD[self._table], (name,)).lastrowid or 0
        if len(self) >= _MAX_NAMES:
            self.clear()
        self[name] = number
        return number
