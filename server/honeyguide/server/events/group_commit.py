"""Event store over any database: readers answer from any thread, and one thread commits what waits together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self

import polars as pl

from honeyguide.server.events.condition import StoreCondition
from honeyguide.server.events.leftovers import Leftover, NameEraser
from honeyguide.server.events.retention import KeepLimits, Retention
from honeyguide.server.events.store import Page, RecordCounts, StoredEvent, StoredHistory, UserPage
from honeyguide.server.events.writer import EventWriter, Write

__all__ = ["GroupCommitStore", "StoreReader"]


class StoreReader(Protocol):
    """What reads a database, from any number of threads; every method but `histories` raises `Unavailable`."""

    def close(self) -> None:
        """Frees everything."""
        ...  # pragma: no cover

    def histories(self, user_ids: Sequence[str]) -> list[StoredHistory]:
        """Returns the history of each user; see `EventStore.histories`."""
        ...  # pragma: no cover

    def count(self, user_id: str) -> int:
        """Returns how many events a user has."""
        ...  # pragma: no cover

    def names(self, table: str, start: int) -> list[str]:
        """Returns the names of a table, "items" or "types", from store number ``start`` on."""
        ...  # pragma: no cover

    def page(self, user_id: str, page_size: int, token: str) -> Page:
        """Returns a page of a user's events; see `GroupCommitStore.page`."""
        ...  # pragma: no cover

    def user_page(self, page_size: int, token: str) -> UserPage:
        """Returns a page of the users; see `GroupCommitStore.user_page`."""
        ...  # pragma: no cover

    def mark(self, name: str) -> str:
        """Returns the newest mark of a name; "": there is none."""
        ...  # pragma: no cover

    def totals(self) -> tuple[int, int]:
        """Returns how many events there are, and how many users have some."""
        ...  # pragma: no cover

    def users_to_expire(self, after: int, users: int, before_ms: int, per_user: int) -> tuple[list[str], int | None]:
        """Returns of the next users those who have too much; see `Expiring`."""
        ...  # pragma: no cover

    def leftovers(self) -> tuple[list[Leftover], list[Leftover]]:
        """Returns the noted names that no event has, and those that one has."""
        ...  # pragma: no cover


class GroupCommitStore:
    """`EventStore` of a reader and a writer, which it closes."""

    def __init__(self, reader: StoreReader, writer: EventWriter, condition: StoreCondition, keep: KeepLimits) -> None:
        """Starts to erase what a former process left, and what is not to be kept."""
        self._reader, self._writer, self._condition = reader, writer, condition
        self._eraser = NameEraser(reader.leftovers, self._erase_names)
        self._retention = Retention(self, keep)

    @property
    def problem(self) -> str:
        """What ails the store, for operators; "": nothing that is known."""
        return self._condition.problem

    @property
    def transactions(self) -> int:
        """How many transactions this process committed."""
        return self._writer.transactions

    def close(self) -> None:
        """Waits until what is queued is on disk, then frees everything. No other call may be under way."""
        self._retention.close()
        self._eraser.close()
        self._writer.close()
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, events: Sequence[StoredEvent]) -> Future[RecordCounts]:
        """Stores events; the future is done when they are on disk and every later read knows them.

        Raises `OverCapacity` at once when too many wait, or too long; the future holds `Unavailable` when the disk
        refuses, and then none of them is stored. A future that is cancelled while it waits stores nothing.
        """
        write: Write[RecordCounts] = Write(events, size=len(events))
        return self._writer.submit(write)

    def delete_user(self, user_id: str) -> Future[int]:
        """Deletes all events of a user; the future has how many there were.

        It is done when the names of items and event types that only these events had are gone, too. To find those, all
        events may have to be read: 1 to 3 million a second. Raises as `record` does.
        """
        users = frozenset([user_id])
        deletion: Write[int] = Write(
            work=lambda tables: tables.delete_user(user_id), users=users, size=1, alone=True, scrub=True
        )
        return self._eraser.after(self._writer.submit(deletion))

    def move_users(self, moves: Sequence[tuple[str, str]]) -> Future[int]:
        """Gives the events of the first user of each pair to the second; see `EventStore.move_users`."""
        users = frozenset(name for pair in moves for name in pair)

        def work(tables: Any) -> int:
            return sum(tables.move_user(*pair) for pair in moves)

        return self._writer.submit(Write(work=work, users=users, alone=True))

    def import_events(self, events: pl.DataFrame, mark: tuple[str, str] | None = None) -> RecordCounts:
        """Stores many events in one transaction; blocks until they are on disk.

        Args:
            events: columns user_id, item_id (text), time_ms (int64), and optionally event_type (text), dwell_seconds,
                clicks, quantity, value (NaN or null: not known), event_id (text; makes a second import harmless);
                events of a user with equal times in the order they happened.
            mark: a name, and what `mark` returns of it from then on.

        Raises as `record` does.
        """
        users = frozenset(events["user_id"].unique().to_list())

        def work(tables: Any) -> RecordCounts:
            if mark is not None:
                tables.set_mark(*mark)
            counts: RecordCounts = tables.import_frame(events)
            return counts

        return self._writer.submit(Write(work=work, users=users)).result()

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
        """Returns a page of a user's events, newest first.

        Events recorded meanwhile neither shift nor repeat what later pages hold.

        Args:
            user_id: the user; an unknown one has an empty page.
            page_size: how many events at most, 1 or more.
            token: `Page.next_token` of the page before; "": the first page.

        Raises `InvalidArgument` when the token is not one of this user's.
        """
        return self._reader.page(user_id, page_size, token)

    def user_page(self, page_size: int, token: str = "") -> UserPage:
        """Returns a page of the users of whom there are events, ordered by the bytes of their ids.

        Users recorded or deleted meanwhile neither shift nor repeat what later pages hold.

        Args:
            page_size: how many users at most, 1 or more.
            token: `UserPage.next_token` of the page before; "": the first page.

        Raises `InvalidArgument` when the token is none of ours.
        """
        return self._reader.user_page(page_size, token)

    def users_to_expire(self, after: int, users: int, before_ms: int, per_user: int) -> tuple[list[str], int | None]:
        """Returns of the next users those who have too much; see `Expiring`."""
        return self._reader.users_to_expire(after, users, before_ms, per_user)

    def expire(self, user_ids: Sequence[str], before_ms: int, per_user: int, most: int) -> int:
        """Deletes up to ``most`` events of users that are too old or too many; see `Expiring`."""

        def work(tables: Any) -> int:
            gone: int = tables.expire(user_ids, before_ms, per_user, most)
            return gone

        return self._writer.submit(Write(work=work, users=frozenset(user_ids), size=most, alone=True)).result()

    def scrub(self) -> None:
        """Erases what is left of everything deleted so far: names that nobody has, and pages of a log."""
        self._eraser.run()

    def _erase_names(self, unused: Sequence[Leftover], used: Sequence[Leftover]) -> None:
        erasure: Write[None] = Write(work=lambda tables: tables.erase_names(unused, used), alone=True, scrub=True)
        self._writer.submit(erasure).result()
