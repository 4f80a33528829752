"""Numbers the names of items and event types in PostgreSQL, without gaps, whichever server meets them first."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from honeyguide.server.events.postgres.connection import Db

__all__ = ["NumberedNames"]

_LOCK = 0x686F6E66
"""Advisory lock of who adds names: their numbers are given in the order of the commits."""
_MOST = 100_000
"""Names kept in memory, about 200 bytes each."""


class NumberedNames:
    """Numbers of one table's names, as one thread asks for them."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._numbers: dict[str, int] = {}

    def clear(self) -> None:
        """Forgets what is in memory."""
        self._numbers.clear()

    def of(self, db: Db, names: Iterable[str], *, reclaims: bool) -> dict[str, int]:
        """Returns at least the numbers of these names; new ones get the next.

        Args:
            db: a connection within a transaction that has locked all the users it writes: it may wait here.
            names: text without NUL.
            reclaims: whether a name may be a leftover, which it then no longer is. Who reclaims one does so alone, or
                two who reclaim several could wait for each other.
        """
        missing = sorted({name for name in names if name not in self._numbers})
        if not missing:
            return self._numbers
        if len(self._numbers) > _MOST:
            self._numbers = {name: self._numbers[name] for name in names if name in self._numbers}
        found = {} if reclaims else self._find(db, missing)
        if len(found) < len(missing):
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            found = self._find(db, missing)
            new = [name for name in missing if name not in found]
            add = sql.SQL(
                "INSERT INTO {0} SELECT (SELECT coalesce(max(id), -1) FROM {0}) + place, name "
                "FROM unnest(%s::text[]) WITH ORDINALITY AS new (name, place) RETURNING name, id"
            ).format(sql.Identifier(self._table))
            if new:
                found |= dict(db.execute(add, (new,)).fetchall())
        if reclaims:
            leftovers = "DELETE FROM leftovers WHERE name = %s AND id = ANY(%s)"
            db.execute(leftovers, (self._table, list(found.values())))
        self._numbers |= found
        return self._numbers

    def _find(self, db: Db, names: list[str]) -> dict[str, int]:
        query = sql.SQL("SELECT name, id FROM {} WHERE name = ANY(%s)").format(sql.Identifier(self._table))
        return dict(db.execute(query, (names,)).fetchall())
