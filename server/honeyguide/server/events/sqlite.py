"""Keeps events in SQLite: what is acknowledged is on disk, and the next read knows it.

One thread writes. It takes every call that waits and commits them together, so that many callers share one fsync
(group commit). Readers have connections of their own and a cache; WAL lets them read while the writer writes. Several
processes may open one file: each notices the others' commits before it answers from its cache.
"""

from __future__ import annotations

from pathlib import Path

from honeyguide.server.events.cache import HistoryCache
from honeyguide.server.events.condition import StoreCondition
from honeyguide.server.events.disk_file import EventFile
from honeyguide.server.events.event_file import open_file
from honeyguide.server.events.group_commit import GroupCommitStore
from honeyguide.server.events.reader import EventReader
from honeyguide.server.events.retention import KeepLimits
from honeyguide.server.events.tables import EventTables
from honeyguide.server.events.writer import EventWriter

__all__ = ["SqliteEventStore"]


class SqliteEventStore(GroupCommitStore):
    """`EventStore` in one file of this machine; what is deleted goes from the file's free pages, too."""

    def __init__(
        self,
        path: Path,
        *,
        cache_events: int = 2_000_000,
        max_queued_events: int = 50_000,
        max_queue_seconds: float = 1.0,
        keep: KeepLimits | None = None,
    ) -> None:
        """Opens the store.

        Args:
            path: the SQLite file, made when it is missing.
            cache_events: how many events of histories stay in memory, about 36 bytes each.
            max_queued_events: how many events may wait for the disk before calls are refused.
            max_queue_seconds: how long they may wait: calls are refused when, by the speed of the last commits, they
                would wait longer.
            keep: what is not deleted by itself; None: everything.

        Raises `ConfigError` when the file is corrupt, foreign, of a newer format, or cannot be written.
        """
        db = open_file(path)
        file = EventFile(path)
        condition = StoreCondition()
        cache = HistoryCache(cache_events, int(db.execute("SELECT commits FROM state").fetchone()[0]))
        reader = EventReader(file, cache, condition)
        tables = EventTables(db, file)
        writer = EventWriter(tables, cache, condition, max_queued_events, max_queue_seconds, lambda: reader.count(""))
        super().__init__(reader, writer, condition, keep or KeepLimits())
