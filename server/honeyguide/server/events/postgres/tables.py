"""Writes to the tables in PostgreSQL: what one server adds and deletes, a transaction at a time.

Whoever records events of users locks these users first, in the order of their names, so that a user's events are
committed one transaction after the other and their numbers grow; then whoever adds or reclaims names locks these.
Whoever deletes, moves or erases writes alone: no other transaction is under way that looked a name up before it was
noted as a leftover, or that uses one while it is erased. Each transaction gives its users a new epoch, by which every
server notices that what it keeps of them is old.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import polars as pl
import psycopg

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.server.events.leftovers import Leftover
from honeyguide.server.events.postgres.connection import Db, connect_postgres, is_collision, is_unreachable
from honeyguide.server.events.postgres.names import NumberedNames
from honeyguide.server.events.store import RecordCounts, StoredEvent
from honeyguide.server.events.tables import EventRow

__all__ = ["PostgresTables"]

_WRITERS = 0x686F6E67
"""Advisory lock that every writing transaction shares, but those that write alone."""
_SHARE, _WRITE_ALONE = "SELECT pg_advisory_xact_lock_shared(%s)", "SELECT pg_advisory_xact_lock(%s)"
_INSERT = """INSERT INTO events SELECT * FROM unnest(
        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], %s::float8[], %s::float8[],
        %s::float8[], %s::text[], %s::text[])
    ON CONFLICT (user_id, event_id) WHERE event_id IS NOT NULL DO NOTHING RETURNING id"""
_LOCK_USERS = "SELECT name, id, newest_ms FROM users WHERE name = ANY(%s) ORDER BY name FOR UPDATE"
_ADD_USERS = """INSERT INTO users (name, epoch, newest_ms) SELECT name, 0, 0 FROM unnest(%s::text[]) AS new (name)
    ON CONFLICT (name) DO NOTHING"""
_TOUCH = """UPDATE users SET epoch = nextval('epochs'), newest_ms = greatest(newest_ms, new.time_ms)
    FROM unnest(%s::bigint[], %s::bigint[]) AS new (id, time_ms) WHERE users.id = new.id"""
_NOTE = """INSERT INTO leftovers SELECT '{table}', {column}, nextval('epochs') FROM (
        SELECT DISTINCT {column} FROM events WHERE user_id = %s AND (time_ms, id) <= (%s, %s) ORDER BY {column}) theirs
    WHERE NOT ('{table}' = 'types' AND {column} = 0)
    ON CONFLICT (name, id) DO UPDATE SET noted = excluded.noted"""
_NOTES = tuple(_NOTE.format(table=table, column=column) for table, column in (("items", "item"), ("types", "type")))
_ERASE = {table: f"UPDATE {table} SET name = NULL WHERE id = %s" for table in ("items", "types")}  # noqa: S608  # ours
_END = (1 << 62, 1 << 62)
_PLACES = "SELECT time_ms, id FROM events WHERE user_id = %s ORDER BY time_ms"


class PostgresTables:
    """`WritableTables` of a database; a connection that is lost is found again with the next transaction."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Db | None = None
        self._items, self._types = NumberedNames("items"), NumberedNames("types")
        self._version = -1  # of the names, as of which those in memory are right
        self._reclaims = False
        self._wrote = False

    @property
    def _db(self) -> Db:
        if self._connection is None:
            self._connection = connect_postgres(self._url, autocommit=False)
            self._version = -1
        return self._connection

    def begin(self, *, alone: bool) -> None:
        """Begins a transaction, on a new connection where the old one is lost; ``alone``: waits for all others."""
        self._wrote = False
        lock = _WRITE_ALONE if alone else _SHARE
        try:
            self._start(lock)
        except psycopg.OperationalError:
            self._hang_up()
            self._start(lock)

    def _start(self, lock: str) -> None:
        self._db.execute(lock, (_WRITERS,))
        version, self._reclaims = self._one("SELECT version, EXISTS (SELECT 1 FROM leftovers) FROM state")
        if version != self._version:
            self._items.clear()
            self._types.clear()
            self._version = version

    def record(
        self, calls: Sequence[Sequence[StoredEvent]]
    ) -> tuple[list[RecordCounts], list[tuple[StoredEvent, EventRow]]]:
        """Writes the events of some calls; an event_id that its user has already is a duplicate. Returns no rows."""
        events = list(chain.from_iterable(calls))
        for event in events:
            if any("\0" in text for text in event if isinstance(text, str)):
                raise InvalidArgument("event", event.item_id, "text without the character NUL, which is not stored")
        users = self._lock({event.user_id for event in events}, add=True)
        items = self._items.of(self._db, [event.item_id for event in events], reclaims=self._reclaims)
        types = self._types.of(self._db, [event.event_type for event in events], reclaims=self._reclaims)
        numbers = [n for (n,) in self._all("SELECT nextval('event_numbers') FROM generate_series(1, %s)", len(events))]
        newest = dict(users.values())
        rows = []
        for number, event in zip(numbers, events, strict=True):
            user, _ = users[event.user_id]
            time_ms = max(event.time_ms, newest[user]) if event.now else event.time_ms
            newest[user] = max(newest[user], time_ms)
            rows.append(
                (
                    *(user, time_ms, number, items[event.item_id], types[event.event_type]),
                    *(event.dwell_seconds, event.clicks, event.quantity, event.value),
                    *(event.request_id or None, event.event_id or None),
                )
            )
        accepted = {number for (number,) in self._all(_INSERT, *map(list, zip(*rows, strict=True)))} if rows else set()
        self._touch(newest)
        counts = []
        left = iter(numbers)
        for call in calls:
            stored = sum(next(left) in accepted for _ in call)
            counts.append(RecordCounts(stored, len(call) - stored))
        return counts, []

    def import_frame(self, events: pl.DataFrame) -> RecordCounts:
        """Writes a table of events, as in `GroupCommitStore.import_events`."""
        if events.is_empty():
            return RecordCounts(0, 0)
        text = [name for name in ("event_type", "request_id", "event_id") if name in events.columns]
        features = [name for name in EVENT_FEATURES if name in events.columns]
        known = events.select(
            "user_id", "item_id", "time_ms", *(pl.col(name).fill_null("") for name in text)
        ).with_columns(events.select(pl.col(name).cast(pl.Float64).fill_nan(None) for name in features))
        return self.record([[StoredEvent(**row) for row in known.iter_rows(named=True)]])[0][0]

    def set_mark(self, name: str, place: str) -> None:
        """Notes how far something came, together with what the transaction writes."""
        mark = "INSERT INTO marks VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET place = excluded.place"
        self._db.execute(mark, (name, place))

    def delete_user(self, user_id: str) -> int:
        """Deletes a user with all events; returns how many. Names that may be nobody's now are noted."""
        users = self._lock({user_id})
        if not users:
            return 0
        ((user, _),) = users.values()
        self._note(user, _END)
        deleted = self._db.execute("DELETE FROM events WHERE user_id = %s", (user,)).rowcount
        self._db.execute("DELETE FROM users WHERE id = %s", (user,))
        self._renew_names()
        return deleted

    def move_user(self, old: str, new: str) -> bool:
        """Gives a user's events to another; says whether there were any."""
        if old not in self._lock({old, new}):
            return False
        users = self._lock({old, new}, add=True)
        (source, time_ms), (target, _) = users[old], users[new]
        self._db.execute(
            """UPDATE events e SET user_id = %s WHERE user_id = %s AND NOT EXISTS (
                SELECT 1 FROM events o WHERE o.user_id = %s AND o.event_id = e.event_id)""",
            (target, source, target),
        )
        self._db.execute("DELETE FROM events WHERE user_id = %s", (source,))  # those the other has, too
        self._db.execute("DELETE FROM users WHERE id = %s", (source,))
        self._touch({target: time_ms})
        return True

    def expire(self, user_ids: Sequence[str], before_ms: int, per_user: int, most: int) -> int:
        """Deletes up to ``most`` events of users that are too old or too many, oldest first; returns how many."""
        left = most
        for user, newest in self._lock(set(user_ids)).values():
            if left <= 0:
                break
            last = (before_ms - 1, _END[1])
            if per_user:
                too_many = self._all(f"{_PLACES} DESC, id DESC LIMIT 1 OFFSET %s", user, per_user)
                last = max(last, *too_many, last)
            in_step = self._all(f"{_PLACES}, id LIMIT 1 OFFSET %s", user, left - 1)
            last = min(last, *in_step, last)
            self._note(user, last)
            gone = self._db.execute(
                "DELETE FROM events WHERE user_id = %s AND (time_ms, id) <= (%s, %s)", (user, *last)
            )
            left -= gone.rowcount
            self._touch({user: newest})
            alone = "DELETE FROM users WHERE id = %s AND NOT EXISTS (SELECT 1 FROM events WHERE user_id = %s)"
            self._db.execute(alone, (user, user))
        self._renew_names()
        return most - left

    def erase_names(self, unused: Sequence[Leftover], used: Sequence[Leftover]) -> None:
        """Erases names that no event has, and forgets those that one has, but for what was noted or used since."""
        for leftovers in (unused, used):
            for table, number, noted in leftovers:
                forget = "DELETE FROM leftovers WHERE name = %s AND id = %s AND noted = %s"
                if self._db.execute(forget, (table, number, noted)).rowcount and leftovers is unused:
                    self._db.execute(_ERASE[table], (number,))
        self._renew_names()

    def number_commit(self, users: object) -> int:  # noqa: ARG002  # the epochs say it
        """Writes something where nothing was written; the number means nothing."""
        if not self._wrote:
            self._db.execute("UPDATE state SET probes = probes + 1")
        return 0

    def touched_by_others(self, since: int) -> frozenset[str] | None:  # noqa: ARG002  # as above
        """Returns nobody: whoever reads asks for the epochs."""
        return frozenset()

    def commit(self) -> None:
        """Ends the transaction; what it wrote is on the database's disk."""
        self._db.commit()

    def roll_back(self) -> None:
        """Undoes the transaction, and hangs up where that cannot be done."""
        self._items.clear()
        self._types.clear()
        self._version = -1
        try:
            if self._connection is not None:
                self._connection.rollback()
        except psycopg.Error:
            self._hang_up()

    def lost(self) -> str:
        """Says nothing: what the database commits, it keeps."""
        return ""

    def look(self) -> str:
        """Asks the database whether it would take a write."""
        try:
            (standby,) = self._one("SELECT pg_is_in_recovery()")
            self._db.rollback()
        except psycopg.Error as error:
            self._hang_up()
            return " ".join(str(error).split())
        return "the database is a standby, which takes no writes" if standby else ""

    def is_fault(self, error: Exception) -> bool:
        """Says whether an error is the database's, and no call's."""
        if is_unreachable(error):
            self._hang_up()  # the next try may reach another one, which takes writes
            return True
        return isinstance(error, psycopg.Error) and not isinstance(error, psycopg.DataError)

    def is_collision(self, error: Exception) -> bool:
        """Says whether the database ended the transaction for another's sake."""
        return is_collision(error)

    def is_damage(self, error: Exception) -> bool:
        """Says whether it concerns only those whose part of the database is damaged."""
        return isinstance(error, psycopg.errors.DataCorrupted | psycopg.errors.IndexCorrupted)

    def scrub(self) -> bool:
        """Leaves to PostgreSQL when it uses again what is free."""
        return True

    def close(self) -> None:
        """Closes the connection."""
        self._hang_up()

    def _lock(self, names: set[str], *, add: bool = False) -> dict[str, tuple[int, int]]:
        """Locks users until the end of the transaction; returns the number and newest time of those there are."""
        ordered = sorted(name for name in names if "\0" not in name)  # no such user is stored
        if add:
            self._db.execute(_ADD_USERS, (ordered,))
        return {name: (number, newest) for name, number, newest in self._all(_LOCK_USERS, ordered)}

    def _touch(self, newest: dict[int, int]) -> None:
        """Gives locked users a new epoch."""
        self._wrote = True
        self._db.execute(_TOUCH, (list(newest), list(newest.values())))

    def _note(self, user: int, last: tuple[int, int]) -> None:
        """Notes the names of a user's events up to a place."""
        for note in _NOTES:
            self._db.execute(note, (user, *last))

    def _renew_names(self) -> None:
        """Sees to it that every server that uses a name from now on looks it up, and so reclaims it."""
        self._wrote = self._reclaims = True
        self._items.clear()
        self._types.clear()
        self._db.execute("UPDATE state SET version = version + 1")

    def _one(self, query: str, *values: object) -> Any:
        return self._db.execute(query, values).fetchone()

    def _all(self, query: str, *values: object) -> Iterator[Any]:
        return iter(self._db.execute(query, values).fetchall())

    def _hang_up(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
