"""Keeps the added items in a file of SQLite, so that whatever was acknowledged is there after a restart."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from honeyguide.sdk.errors import Unavailable
from honeyguide.server.cold_items.item import ColdItem, digest_of

__all__ = ["ColdItemStore"]

_APPLICATION = 0x48676369  # "Hgci"
_BUSY_SECONDS = 5.0


class ColdItemStore:
    """File of items, which several processes may share. It is opened for each call: there are few, and none is hot."""

    def __init__(self, path: Path) -> None:
        """Touches nothing yet: the file is made when the first item comes."""
        self.path = path
        self._known: dict[bytes, ColdItem] = {}  # by their contents, as they were last read

    def read(self) -> list[ColdItem]:
        """Returns all items, the newest last; raises `Unavailable` where the file cannot be read.

        Those that were there at the last reading are the same objects: taking an item apart costs far more than a look.
        """
        if not self.path.exists():
            return []
        found: dict[bytes, ColdItem] = {}
        try:
            with self._open() as connection:
                for (content,) in connection.execute("SELECT content FROM items ORDER BY place"):
                    digest = digest_of(content)
                    found[digest] = self._known.get(digest) or ColdItem.from_text(content)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self._ill(error) from error
        self._known = found
        return list(found.values())

    def upsert(self, items: Sequence[ColdItem]) -> int:
        """Adds items or replaces those of the same ids, all or none; returns how many were not there.

        Raises `Unavailable` where they cannot be written: then nothing has changed.
        """
        with self._open() as connection, connection:
            before = self._count(connection)
            connection.executemany(
                "INSERT INTO items (item_id, content) VALUES (?, ?) "
                "ON CONFLICT (item_id) DO UPDATE SET content = excluded.content",
                [(item.item_id, item.to_text()) for item in items],
            )
            return self._count(connection) - before

    def delete(self, item_ids: Sequence[str]) -> list[str]:
        """Takes items out; returns the ids of those that were not there. Raises `Unavailable` as `upsert` does."""
        if not self.path.exists():
            return list(item_ids)
        with self._open() as connection, connection:
            gone = [
                item_id
                for item_id in item_ids
                if connection.execute("DELETE FROM items WHERE item_id = ?", (item_id,)).rowcount
            ]
        return [item_id for item_id in item_ids if item_id not in set(gone)]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            with closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as connection:
                # In this order, as another process may make the table, with the number, in between.
                (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                (application,) = connection.execute("PRAGMA application_id").fetchone()
                if tables and application != _APPLICATION:
                    raise Unavailable(f"{self.path} is a file of something else; name another one in cold_items")
                if not tables:
                    connection.executescript(  # all or nothing, and whoever comes second finds it made
                        "BEGIN IMMEDIATE;"
                        "CREATE TABLE IF NOT EXISTS items (place INTEGER PRIMARY KEY AUTOINCREMENT, "
                        "item_id TEXT NOT NULL UNIQUE, content TEXT NOT NULL);"
                        f"PRAGMA application_id = {_APPLICATION}; COMMIT;"
                    )
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise self._ill(error) from error

    def _ill(self, error: Exception) -> Unavailable:
        return Unavailable(f"the file of added items {self.path} cannot be read or written: {error}")

    @staticmethod
    def _count(connection: sqlite3.Connection) -> int:
        count: int = connection.execute("SELECT count(*) FROM items").fetchone()[0]
        return count
