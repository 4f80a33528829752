"""Reads histories, pages and names from PostgreSQL, from any number of threads."""

from __future__ import annotations

import queue
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import psycopg

from honeyguide.sdk.errors import Unavailable
from honeyguide.server.events import store as limits
from honeyguide.server.events.condition import StoreCondition
from honeyguide.server.events.leftovers import Leftover
from honeyguide.server.events.page_tokens import event_token, read_event_token, read_user_token, user_token
from honeyguide.server.events.postgres.cache import EpochCache
from honeyguide.server.events.postgres.connection import Db, connect_postgres, is_unreachable
from honeyguide.server.events.snapshot import history_of
from honeyguide.server.events.store import UNREADABLE, Page, StoredEvent, StoredHistory, UserPage

__all__ = ["PostgresReader"]

T = TypeVar("T")

_EPOCHS = "SELECT name, id, epoch FROM users WHERE name = ANY(%s)"
_NEWEST = """SELECT asked.id, e.item, e.time_ms, e.type, e.dwell_seconds, e.clicks, e.quantity, e.value
    FROM unnest(%s::bigint[]) AS asked (id) CROSS JOIN LATERAL (
        SELECT * FROM events WHERE user_id = asked.id ORDER BY time_ms DESC, id DESC LIMIT %s) e
    ORDER BY asked.id, e.time_ms, e.id"""
_SEEN = """SELECT item FROM events WHERE user_id = %s GROUP BY item ORDER BY max(time_ms) DESC LIMIT %s"""
_COUNT = "SELECT count(*) FROM events WHERE user_id = (SELECT id FROM users WHERE name = %s)"
_PAGE = """SELECT i.name, e.time_ms, t.name, dwell_seconds, clicks, quantity, value,
        coalesce(request_id, ''), coalesce(event_id, ''), e.id
    FROM events e JOIN items i ON i.id = e.item JOIN types t ON t.id = e.type
    WHERE e.user_id = (SELECT id FROM users WHERE name = %s) AND (e.time_ms, e.id) < (%s, %s)
    ORDER BY e.time_ms DESC, e.id DESC LIMIT %s"""
_USERS = """SELECT name FROM users u WHERE name > %s AND EXISTS (SELECT 1 FROM events WHERE user_id = u.id)
    ORDER BY name LIMIT %s"""
_NAMES = {table: f"SELECT coalesce(name, '') FROM {table} WHERE id >= %s ORDER BY id" for table in ("items", "types")}  # noqa: S608  # ours
_TOO_MUCH = """SELECT id, name, (SELECT min(time_ms) FROM events WHERE user_id = u.id) < %s OR (%s AND EXISTS (
        SELECT 1 FROM events WHERE user_id = u.id ORDER BY time_ms DESC, id DESC LIMIT 1 OFFSET %s))
    FROM users u WHERE id > %s ORDER BY id LIMIT %s"""
_STILL_USED = {
    table: f"SELECT n.id FROM unnest(%s::bigint[]) AS n (id) WHERE EXISTS (SELECT 1 FROM events WHERE {column} = n.id)"  # noqa: S608  # ours
    for table, column in (("items", "item"), ("types", "type"))
}
_END = (1 << 62, 1 << 62)


class PostgresReader:
    """Connections for reading, one for each thread that reads at the same time."""

    def __init__(self, url: str, cache: EpochCache, condition: StoreCondition) -> None:
        self._url, self._cache, self._condition = url, cache, condition
        self._idle: queue.SimpleQueue[Db] = queue.SimpleQueue()

    def close(self) -> None:
        """Closes the connections."""
        while not self._idle.empty():
            self._idle.get().close()

    def histories(self, user_ids: Sequence[str]) -> list[StoredHistory]:
        """Returns the history of each user, in the given order; `UNREADABLE` where it cannot be read."""
        try:
            return self._ask(lambda db: self._histories(db, user_ids))
        except Unavailable:
            return [UNREADABLE] * len(user_ids)

    def count(self, user_id: str) -> int:
        """Returns how many events a user has."""
        return int(self._rows(_COUNT, _stored(user_id))[0][0])

    def names(self, table: str, start: int) -> list[str]:
        """Returns the names of a table from store number ``start`` on."""
        return [name for (name,) in self._rows(_NAMES[table], start)]

    def page(self, user_id: str, page_size: int, token: str) -> Page:
        """Returns a page of a user's events; see `EventStore.page`."""
        before = read_event_token(user_id, token) if token else _END
        rows = self._rows(_PAGE, _stored(user_id), *before, page_size + 1)
        events = [StoredEvent(user_id, *row[:9]) for row in rows[:page_size]]
        last = rows[page_size - 1] if len(rows) > page_size else None
        return Page(events, event_token(user_id, last[1], last[9]) if last else "")

    def user_page(self, page_size: int, token: str) -> UserPage:
        """Returns a page of the users; see `EventStore.user_page`."""
        after = read_user_token(token) if token else ""
        names = [name for (name,) in self._rows(_USERS, after, page_size + 1)]
        return UserPage(names[:page_size], user_token(names[page_size - 1]) if len(names) > page_size else "")

    def mark(self, name: str) -> str:
        """Returns the newest mark of a name; "": there is none."""
        rows = self._rows("SELECT place FROM marks WHERE name = %s", name)
        return rows[0][0] if rows else ""

    def totals(self) -> tuple[int, int]:
        """Returns how many events there are, and how many users have some."""
        return tuple(self._rows("SELECT count(*), count(DISTINCT user_id) FROM events")[0])

    def users_to_expire(self, after: int, users: int, before_ms: int, per_user: int) -> tuple[list[str], int | None]:
        """Returns of the next users those who have too much; see `Expiring`."""
        rows = self._rows(_TOO_MUCH, before_ms, per_user > 0, per_user, after, users)
        return [name for _, name, too_much in rows if too_much], rows[-1][0] if len(rows) == users else None

    def leftovers(self) -> tuple[list[Leftover], list[Leftover]]:
        """Returns the noted names that no event has, and those that one has.

        Whoever noted them wrote alone: every transaction since then that uses one of them has reclaimed it.
        """
        noted = [Leftover(*row) for row in self._rows("SELECT name, id, noted FROM leftovers")]
        if not noted:
            return [], []
        used = {
            (table, number)
            for table, query in _STILL_USED.items()
            for (number,) in self._rows(query, [each.number for each in noted if each.table == table])
        }
        unused = [each for each in noted if (each.table, each.number) not in used]
        return unused, [each for each in noted if (each.table, each.number) in used]

    def _histories(self, db: Db, user_ids: Sequence[str]) -> list[StoredHistory]:
        """Reads the epochs first: what is read after has at least what they stand for."""
        epochs = {name: (number, epoch) for name, number, epoch in _fetch(db, _EPOCHS, list(map(_stored, user_ids)))}
        found: dict[str, StoredHistory] = {}
        missing: dict[int, str] = {}
        for name, (number, epoch) in epochs.items():
            if (history := self._cache.get(name, epoch)) is None:
                missing[number] = name
            else:
                found[name] = history
        if missing:
            rows_of = defaultdict(list)
            for number, *row in _fetch(db, _NEWEST, list(missing), limits.MAX_HISTORY_EVENTS + 1):
                rows_of[number].append(row)
            for number, name in missing.items():
                history = self._history(db, number, rows_of[number])
                self._cache.put(name, epochs[name][1], history)
                found[name] = history
        nobody = history_of(np.empty((0, 7)))
        return [found.get(user_id, nobody) for user_id in user_ids]

    def _history(self, db: Db, user: int, rows: list[list[Any]]) -> StoredHistory:
        table = np.array(rows, np.float64).reshape(len(rows), 7)  # None becomes NaN
        if len(rows) <= limits.MAX_HISTORY_EVENTS:
            return history_of(table)
        count = _fetch(db, "SELECT count(*) FROM events WHERE user_id = %s", user)[0][0]
        seen = np.array([item for (item,) in _fetch(db, _SEEN, user, limits.MAX_SEEN_ITEMS + 1)], np.int64)
        return history_of(table[1:], count=count, seen=seen)

    def _rows(self, query: str, *values: object) -> list[Any]:
        return self._ask(lambda db: _fetch(db, query, *values))

    def _ask(self, work: Callable[[Db], T]) -> T:
        """Does some reading, a second time on a new connection where the first one is lost."""
        for last in (False, True):
            db = None
            try:
                try:
                    db = self._idle.get_nowait()
                except queue.Empty:
                    db = connect_postgres(self._url, autocommit=True)
                answer = work(db)
            except psycopg.Error as error:
                if db is not None:
                    db.close()
                if is_unreachable(error) and not last:
                    self.close()  # the others are likely to be lost, too
                    continue
                told = " ".join(str(error).split())
                self._condition.read_failed(told)
                raise Unavailable("the events could not be read; try again later") from error
            except BaseException:
                if db is not None:
                    db.close()
                raise
            self._idle.put(db)
            self._condition.read_well()
            return answer
        raise AssertionError("unreachable")


def _fetch(db: Db, query: str, *values: object) -> list[Any]:
    return db.execute(query, values).fetchall()


def _stored(user_id: str) -> str:
    """Returns the id as it may be asked for: PostgreSQL knows no text with NUL, and "" is nobody's."""
    return "" if "\0" in user_id else user_id
