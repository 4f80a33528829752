"""Numbers of names stay right in the writer's memory: after others' commits, what is undone, and deleted users.

The writing thread around it is `writer.py`'s; what is read back comes through `reader.py`.
"""

from pathlib import Path
from typing import Any

import pytest

from honeyguide.server.events import tables
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import RecordCounts, StoredEvent
from honeyguide.server.events.writer import Write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def items_of(store: SqliteEventStore, user: str) -> list[str]:
    names = store.item_ids()
    return [names[number] for number in store.history(user).items]


def test_names_that_another_process_numbered_keep_their_numbers(path: Path) -> None:
    with SqliteEventStore(path) as mine, SqliteEventStore(path) as other:
        mine.record([StoredEvent("anna", "a", 1, "view")]).result()
        other.record([StoredEvent("ben", "b", 1, "buy")]).result()
        mine.record([StoredEvent("ben", "c", 2, "buy"), StoredEvent("anna", "b", 2, "cart")]).result()
        assert mine.item_ids() == other.item_ids() == ["a", "b", "c"]
        assert mine.event_types() == ["", "view", "buy", "cart"]
        assert (items_of(other, "ben"), items_of(other, "anna")) == (["b", "c"], ["a", "b"])


def test_a_user_whom_another_process_deleted_begins_anew(path: Path) -> None:
    with SqliteEventStore(path) as mine, SqliteEventStore(path) as other:
        mine.record([StoredEvent("anna", "a", 1, event_id="x")]).result()
        assert other.delete_user("anna").result() == 1
        other.record([StoredEvent("ben", "b", 1)]).result()  # who may get anna's number
        assert mine.record([StoredEvent("anna", "a", 2, event_id="x")]).result() == RecordCounts(1, 0)
        assert (items_of(mine, "anna"), items_of(mine, "ben")) == (["a"], ["b"])


def test_a_deleted_user_gets_a_new_number(path: Path) -> None:
    with SqliteEventStore(path) as store:
        store.record([StoredEvent("anna", "a", 1)]).result()
        store.delete_user("anna").result()
        store.record([StoredEvent("ben", "b", 1), StoredEvent("anna", "c", 2)]).result()
        assert (items_of(store, "anna"), items_of(store, "ben")) == (["c"], ["b"])


def test_names_of_a_call_that_failed_are_numbered_anew(path: Path) -> None:
    with SqliteEventStore(path) as store:
        bad = store.record([StoredEvent("anna", "lost", 1), StoredEvent("anna", "pen", 2**70)])
        assert isinstance(bad.exception(), OverflowError)
        store.record([StoredEvent("anna", "book", 1)]).result()
        store.record([StoredEvent("anna", "lost", 2)]).result()
        assert store.item_ids() == ["book", "lost"]
        assert items_of(store, "anna") == ["book", "lost"]


def test_the_names_in_memory_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_MAX_NAMES", 3)
    with SqliteEventStore(path) as store:
        for turn in range(2):
            store.record([StoredEvent(f"user-{i}", f"item-{i}", turn) for i in range(10)]).result()
            assert len(store._writer._tables._users) <= 3
        assert store.item_ids() == [f"item-{i}" for i in range(10)]
        assert [store.count(f"user-{i}") for i in range(10)] == [2] * 10


def test_duplicates_are_counted_for_each_call_of_a_group(path: Path) -> None:
    def call(*keys: str) -> list[StoredEvent]:
        return [StoredEvent("anna", "book", i, event_id=key) for i, key in enumerate(keys)]

    with SqliteEventStore(path) as store:
        rows = [call("a", "b"), call("b", "c", ""), call("", ""), call("a", "b", "c")]
        counts, stored = store._writer.submit(_record(rows)).result()
        assert counts == [RecordCounts(2, 0), RecordCounts(2, 1), RecordCounts(2, 0), RecordCounts(0, 3)]
        assert [event.event_id for event, _ in stored] == ["a", "b", "c", "", "", ""]


def test_no_events_are_none(path: Path) -> None:
    with SqliteEventStore(path) as store:
        assert store.record([]).result() == RecordCounts(0, 0)


def _record(calls: list[list[StoredEvent]]) -> Write[Any]:
    return Write(work=lambda tables: tables.record(calls))
