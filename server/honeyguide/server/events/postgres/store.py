"""Event store in a PostgreSQL database, which several servers may share: each knows what any of them acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType

import polars as pl

from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.server.events.condition import StoreCondition
from honeyguide.server.events.leftovers import Leftover, NameEraser
from honeyguide.server.events.postgres.cache import EpochCache
from honeyguide.server.events.postgres.connection import open_database
from honeyguide.server.events.postgres.reader import PostgresReader
from honeyguide.server.events.postgres.tables import PostgresTables
from honeyguide.server.events.retention import KeepLimits, Retention
from honeyguide.server.events.store import Page, RecordCounts, StoredEvent, StoredHistory, UserPage
from honeyguide.server.events.writer import EventWriter, Write

__all__ = ["PostgresEventStore"]


class PostgresEventStore:
    """`EventStore` in a database of PostgreSQL 13 or newer, in a schema of its own called honeyguide."""

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
        self._condition = StoreCondition()
        cache = EpochCache(cache_events)
        self._reader = PostgresReader(url, cache, self._condition)
        self._writer = EventWriter(
            PostgresTables(url),
            cache,
            self._condition,
            max_queued_events,
            max_queue_seconds,
            lambda: self._reader.count(""),
        )
        self._eraser = NameEraser(self._reader.leftovers, self._erase_names)
        self._retention = Retention(self, keep or KeepLimits())

    @property
    def problem(self) -> str:
        """What ails the store, for operators; "": nothing that is known."""
        return self._condition.problem

    def close(self) -> None:
        """Waits until what is queued is on disk, then hangs up. No other call may be under way."""
        self._retention.close()
        self._eraser.close()
        self._writer.close()
        self._reader.close()

    def __enter__(self) -> PostgresEventStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, events: Sequence[StoredEvent]) -> Future[RecordCounts]:
        """Stores events; see `EventStore.record`."""
        write: Write[RecordCounts] = Write(events, size=len(events))
        return self._writer.submit(write)

    def delete_user(self, user_id: str) -> Future[int]:
        """Deletes a user; see `EventStore.delete_user`. The bytes stay until PostgreSQL uses their place again."""
        deletion: Write[int] = Write(work=lambda tables: tables.delete_user(user_id), size=1)
        return self._eraser.after(self._writer.submit(deletion))

    def move_users(self, moves: Sequence[tuple[str, str]]) -> Future[int]:
        """Gives the events of the first user of each pair to the second; see `EventStore.move_users`."""
        return self._writer.submit(Write(work=lambda tables: sum(tables.move_user(*pair) for pair in moves)))

    def import_events(self, events: pl.DataFrame, mark: tuple[str, str] | None = None) -> RecordCounts:
        """Stores many events in one transaction; blocks until they are on disk; see `SqliteEventStore`."""
        if events.is_empty():
            return RecordCounts(0, 0)
        text = [name for name in ("event_type", "request_id", "event_id") if name in events.columns]
        features = [name for name in EVENT_FEATURES if name in events.columns]
        known = events.select(
            "user_id", "item_id", "time_ms", *(pl.col(name).fill_null("") for name in text)
        ).with_columns(events.select(pl.col(name).cast(pl.Float64).fill_nan(None) for name in features))
        rows = [StoredEvent(**row) for row in known.iter_rows(named=True)]

        def work(tables: PostgresTables) -> RecordCounts:
            if mark is not None:
                tables.set_mark(*mark)
            return tables.record([rows])[0][0]

        return self._writer.submit(Write(work=work)).result()

    def mark(self, name: str) -> str:
        """Returns the newest mark of a name; "": there is none."""
        return self._reader.mark(name)

    def totals(self) -> tuple[int, int]:
        """Returns how many events there are, and how many users have some; reads them all."""
        return self._reader.totals()

    def history(self, user_id: str) -> StoredHistory:
        """Returns one user's events, oldest first; an unknown user's history is empty."""
        return self.histories([user_id])[0]

    def histories(self, user_ids: Sequence[str]) -> list[StoredHistory]:
        """Returns the history of each user, in the given order; `UNREADABLE` where it cannot be read."""
        return self._reader.histories(user_ids)

    def count(self, user_id: str) -> int:
        """Returns how many events a user has."""
        return self._reader.count(user_id)

    def item_ids(self, start: int = 0) -> list[str]:
        """Returns the item ids from store number ``start`` on; numbers never change."""
        return self._reader.names("items", start)

    def event_types(self, start: int = 0) -> list[str]:
        """Returns the event types from store number ``start`` on; number 0 is ""; numbers never change."""
        return self._reader.names("types", start)

    def page(self, user_id: str, page_size: int, token: str = "") -> Page:
        """Returns a page of a user's events, newest first; see `EventStore.page`."""
        return self._reader.page(user_id, page_size, token)

    def user_page(self, page_size: int, token: str = "") -> UserPage:
        """Returns a page of the users of whom there are events; see `EventStore.user_page`."""
        return self._reader.user_page(page_size, token)

    def users_to_expire(self, after: int, users: int, before_ms: int, per_user: int) -> tuple[list[str], int | None]:
        """Returns of the next users those who have too much; see `Expiring`."""
        return self._reader.users_to_expire(after, users, before_ms, per_user)

    def expire(self, user_ids: Sequence[str], before_ms: int, per_user: int, most: int) -> int:
        """Deletes up to ``most`` events of users that are too old or too many; see `Expiring`."""

        def work(tables: PostgresTables) -> int:
            return tables.expire(user_ids, before_ms, per_user, most)

        return self._writer.submit(Write(work=work, size=most)).result()

    def scrub(self) -> None:
        """Erases the names that nobody has any more."""
        self._eraser.run()

    def _erase_names(self, unused: Sequence[Leftover], used: Sequence[Leftover]) -> None:
        erasure: Write[None] = Write(work=lambda tables: tables.erase_names(unused, used))
        self._writer.submit(erasure).result()
