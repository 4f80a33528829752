"""Keeps the added items in a file of SQLite, so that whatever was acknowledged is there after a restart."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import structlog

from honeyguide.sdk.errors import Unavailable
from honeyguide.server.cold_items.item import ColdItem, digest_of

__all__ = ["ColdItemStore"]

_APPLICATION = 0x48676369  # "Hgci"
_BUSY_SECONDS = 5.0


class ColdItemStore:
    """File of items, which several processes may share. It is opened for each call: there are few, and none is hot.

    Whoever takes the file away, or empties it, takes no items: what was read or written last counts as there, and the
    next change makes the file again. What others put in its place is taken as it is.
    """

    def __init__(self, path: Path) -> None:
        """Touches nothing yet: the file is made when the first item comes."""
        self.path = path
        self._known: dict[bytes, ColdItem] = {}  # by their contents
        self._log = structlog.get_logger("honeyguide.cold_items")

    @property
    def items(self) -> list[ColdItem]:
        """All items as they were last read or written, the newest last."""
        return list(self._known.values())

    def read(self) -> list[ColdItem]:
        """Returns all items, the newest last; raises `Unavailable` where the file cannot be read: `items` stays.

        Those that were there before are the same objects: taking an item apart costs far more than a look.
        """
        with self._told("read"):
            try:
                self.path.stat()
            except FileNotFoundError:
                return self.items
            # Not through `sqlite3.connect(path)`, which would make a file where there is none any more.
            there = f"{self.path.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(there, timeout=_BUSY_SECONDS, uri=True)) as file:
                if self._is_made(file):
                    self._known = self._taken(file)
        return self.items

    def upsert(self, items: Sequence[ColdItem]) -> int:
        """Adds items or replaces those of the same ids, all or none; returns how many were not there.

        Raises `Unavailable` where they cannot be written: then nothing has changed.
        """
        with self._changing() as file:
            before = self._count(file)
            self._insert(file, items)
            return self._count(file) - before

    def delete(self, item_ids: Sequence[str]) -> list[str]:
        """Takes items out; returns the ids of those that were not there. Raises `Unavailable` as `upsert` does."""
        if not self._known and not os.path.exists(self.path):  # noqa: PTH110  # False where it cannot be told
            return list(item_ids)
        with self._changing() as file:
            delete = "DELETE FROM items WHERE item_id = ?"
            return [item_id for item_id in item_ids if not file.execute(delete, (item_id,)).rowcount]

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Makes the file where there is none; keeps what the block does if all that is there then can be read."""
        with self._told("written"):
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            with closing(connection) as file, file:  # the second ends the transaction
                file.execute("PRAGMA synchronous = FULL")
                file.execute("BEGIN IMMEDIATE")
                if not self._is_made(file):
                    file.execute(
                        "CREATE TABLE items (place INTEGER PRIMARY KEY AUTOINCREMENT, "
                        "item_id TEXT NOT NULL UNIQUE, content TEXT NOT NULL)"
                    )
                    file.execute(f"PRAGMA application_id = {_APPLICATION}")
                    self._insert(file, self.items)
                    if self._known:
                        name, items = str(self.path), len(self._known)
                        self._log.warning("the file of added items was gone, and is made again", file=name, items=items)
                yield file
                found = self._taken(file)
            self._known = found

    def _taken(self, file: sqlite3.Connection) -> dict[bytes, ColdItem]:
        found = {}
        for (content,) in file.execute("SELECT content FROM items ORDER BY place"):
            digest = digest_of(content)
            found[digest] = self._known.get(digest) or ColdItem.from_text(content)
        return found

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        """Raises `Unavailable` for all that can be wrong with a file, and tells the operator where it is."""
        try:
            yield
        except (OSError, sqlite3.Error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            problem = (isinstance(error, OSError) and error.strerror) or f"{error}"
            self._log.error("the file of added items is no use", file=str(self.path), problem=problem)
            raise Unavailable(
                f"the file of added items (cold_items) cannot be {done}: {problem}. What is served stays so; put the "
                "file right, or move it away: the next change makes one of all that is served"
            ) from error

    @staticmethod
    def _is_made(file: sqlite3.Connection) -> bool:
        """Says whether the table is there; raises `ValueError` where the file is something else's."""
        (tables,) = file.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (application,) = file.execute("PRAGMA application_id").fetchone()
        if tables and application != _APPLICATION:
            raise ValueError("it is a file of something else; name another one in cold_items")
        return bool(tables)

    @staticmethod
    def _insert(file: sqlite3.Connection, items: Iterable[ColdItem]) -> None:
        file.executemany(
            "INSERT INTO items (item_id, content) VALUES (?, ?) "
            "ON CONFLICT (item_id) DO UPDATE SET content = excluded.content",
            [(item.item_id, item.to_text()) for item in items],
        )

    @staticmethod
    def _count(file: sqlite3.Connection) -> int:
        count: int = file.execute("SELECT count(*) FROM items").fetchone()[0]
        return count
