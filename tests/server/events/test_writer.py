"""A group of calls that another server's transaction was in the way of is tried again (`writer.py`)."""

from __future__ import annotations

import threading
from typing import Any

from honeyguide.sdk.errors import Unavailable
from honeyguide.server.events.condition import StoreCondition
from honeyguide.server.events.postgres.cache import EpochCache
from honeyguide.server.events.store import RecordCounts, StoredEvent
from honeyguide.server.events.writer import EventWriter, Write


class Collision(Exception):
    """Error of a database that ended a transaction for another's sake."""


class CollidingTables:
    """`WritableTables` in memory, whose first commits of events collide."""

    def __init__(self, collisions: int) -> None:
        self.left, self.begun = collisions, list[bool]()
        self.kept, self._new = list[str](), list[str]()

    def begin(self, *, alone: bool) -> None:
        self.begun.append(alone)
        self._new = []

    def record(self, calls: Any) -> tuple[list[RecordCounts], list[Any]]:
        self._new += [event.item_id for call in calls for event in call]
        return [RecordCounts(len(call), 0) for call in calls], []

    def commit(self) -> None:
        if self._new and self.left:
            self.left -= 1
            raise Collision("deadlock detected")
        self.kept += self._new

    def roll_back(self) -> None:
        self._new = []

    def number_commit(self, users: object) -> int:
        return 0

    def is_collision(self, error: Exception) -> bool:
        return isinstance(error, Collision)

    is_fault = is_collision

    def is_damage(self, error: Exception) -> bool:
        return False

    def lost(self) -> str:
        return ""

    look = lost

    def scrub(self) -> bool:
        return True

    def close(self) -> None:
        pass


def write_together(tables: CollidingTables) -> tuple[list[Any], str]:
    """Writes two calls and another's work in one group; returns what each came to, and what ails the store then."""
    entered, release = threading.Event(), threading.Event()

    def block(_tables: object) -> None:
        entered.set()
        release.wait(5)

    condition = StoreCondition()
    writer = EventWriter(tables, EpochCache(10), condition, 100, 10)
    writer.submit(Write(work=block))
    assert entered.wait(5)
    calls: list[Write[Any]] = [Write(events=[StoredEvent("anna", name, 1)], size=1) for name in ("book", "pen")]
    futures = [writer.submit(write) for write in (*calls, Write[Any](work=lambda _: "done", alone=True))]
    release.set()
    outcomes = [future.exception(5) or future.result() for future in futures]
    writer.close()
    return outcomes, condition.problem


def test_a_group_that_collides_is_tried_again_and_stored_once() -> None:
    tables = CollidingTables(collisions=4)
    assert write_together(tables) == ([RecordCounts(1, 0), RecordCounts(1, 0), "done"], "")
    assert tables.kept == ["book", "pen"]
    assert tables.begun == [False] + [True] * 5  # alone, for one of the group must be


def test_a_group_that_collides_for_ever_is_refused_and_stores_nothing() -> None:
    tables = CollidingTables(collisions=1000)
    outcomes, problem = write_together(tables)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert (tables.kept, len(tables.begun), problem) == ([], 6, "deadlock detected")
