"""Event store in a PostgreSQL database, which several servers may share: each knows what any of them acknowledged."""

from __future__ import annotations

from honeyguide.server.events.condition import StoreCondition
from honeyguide.server.events.group_commit import GroupCommitStore
from honeyguide.server.events.postgres.cache import EpochCache
from honeyguide.server.events.postgres.connection import open_database
from honeyguide.server.events.postgres.reader import PostgresReader
from honeyguide.server.events.postgres.tables import PostgresTables
from honeyguide.server.events.retention import KeepLimits
from honeyguide.server.events.writer import EventWriter

__all__ = ["PostgresEventStore"]


class PostgresEventStore(GroupCommitStore):
    """`EventStore` in a database of PostgreSQL 13 or newer, in a schema of its own called honeyguide.

    The bytes of what is deleted stay until PostgreSQL uses their place again.
    """

    def __init__(
        self,
        url: str,
        *,
        cache_events: int = 2_000_000,
        max_queued_events: int = 50_000,
        max_queue_seconds: float = 1.0,
        keep: KeepLimits | None = None,
    ) -> None:
        """Opens the store, and makes its tables where there are none; arguments are those of `SqliteEventStore`.

        Args:
            url: ``postgresql://user:password@host:port/database``, with any parameter of libpq.
            cache_events: how many events of histories stay in memory, about 36 bytes each.
            max_queued_events: how many events may wait before calls are refused.
            max_queue_seconds: how long they may wait.
            keep: what is not deleted by itself; None: everything.

        Raises `ConfigError` when the database cannot be had.
        """
        open_database(url)
        condition = StoreCondition()
        cache = EpochCache(cache_events)
        reader = PostgresReader(url, cache, condition)
        tables = PostgresTables(url)
        writer = EventWriter(tables, cache, condition, max_queued_events, max_queue_seconds, lambda: reader.count(""))
        super().__init__(reader, writer, condition, keep or KeepLimits())
