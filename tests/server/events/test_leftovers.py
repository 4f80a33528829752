"""A deletion is done when no byte of the user is left, nor of the names that only this user had (`leftovers.py`)."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from honeyguide.server.events.leftovers import Leftover
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import RecordCounts, StoredEvent

SECRET = "forget-me"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteEventStore]:
    with SqliteEventStore(path) as opened:
        opened.record([StoredEvent("ben", f"item-{i}", i, "view") for i in range(50)]).result()
        opened.record([StoredEvent(SECRET, f"item-{i}", i, "view") for i in range(60)]).result()
        opened.record([StoredEvent(SECRET, f"{SECRET}-item-{i}", i, f"{SECRET}-type") for i in range(60)]).result()
        yield opened


def in_files(path: Path, text: str) -> bool:
    return any(text.encode() in file.read_bytes() for file in path.parent.iterdir())


def noted(path: Path) -> int:
    db = sqlite3.connect(path)
    try:
        return int(db.execute("SELECT count(*) FROM leftovers").fetchone()[0])
    finally:
        db.close()


def test_names_that_only_this_user_had_are_gone_from_every_file(store: SqliteEventStore, path: Path) -> None:
    before = store.item_ids()
    assert in_files(path, f"{SECRET}-item-7")
    assert store.delete_user(SECRET).result() == 120
    assert not in_files(path, SECRET)
    after = store.item_ids()
    assert after[:50] == before[:50]  # a number never changes
    assert after[50:] == [""] * 70
    assert store.event_types() == ["", "view", ""]
    assert noted(path) == 0
    assert len(store.history("ben")) == 50


def test_a_name_that_is_used_again_gets_another_number(store: SqliteEventStore, path: Path) -> None:
    store.delete_user(SECRET).result()
    used = len(store.item_ids())
    store.record([StoredEvent("ben", f"{SECRET}-item-3", 100, f"{SECRET}-type")]).result()
    assert store.item_ids()[used:] == [f"{SECRET}-item-3"]
    assert store.page("ben", 1).events[0].item_id == f"{SECRET}-item-3"
    assert store.delete_user("ben").result() == 51
    assert not in_files(path, SECRET)


def test_a_name_that_is_used_while_it_is_looked_for_stays(store: SqliteEventStore, path: Path) -> None:
    find = store._eraser._find

    def find_and_use() -> tuple[list[Leftover], list[Leftover]]:
        found = find()
        with SqliteEventStore(path) as other:
            other.record([StoredEvent("kit", f"{SECRET}-item-5", 1)]).result()
        store.record([StoredEvent("kit", f"{SECRET}-item-6", 2)]).result()
        return found

    store._eraser._find = find_and_use
    store.delete_user(SECRET).result()
    assert [event.item_id for event in store.page("kit", 9).events] == [f"{SECRET}-item-6", f"{SECRET}-item-5"]
    names = store.item_ids()
    assert [names[number] for number in store.history("kit").items] == [f"{SECRET}-item-5", f"{SECRET}-item-6"]
    assert not in_files(path, f"{SECRET}-item-7")


def test_what_a_kill_left_is_erased_at_the_next_start(store: SqliteEventStore, path: Path, tmp_path: Path) -> None:
    store._eraser._find = lambda: ([], [])  # as if it were killed before it looked
    store.delete_user(SECRET).result()
    assert noted(path) > 0
    store.close()
    with SqliteEventStore(path):
        pass
    assert noted(path) == 0
    assert not in_files(path, SECRET)


def test_users_deleted_at_the_same_time_leave_nothing(store: SqliteEventStore, path: Path) -> None:
    users = [f"{SECRET}-{i}" for i in range(20)]
    store.record([StoredEvent(user, f"own-{SECRET}-{user}", 1, "view") for user in users]).result()
    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(lambda user: store.delete_user(user).result(), users)) == [1] * 20
    store.delete_user(SECRET).result()
    assert not in_files(path, SECRET)
    assert store.record([StoredEvent("ben", "item-1", 60)]).result() == RecordCounts(1, 0)


def test_an_error_of_the_search_reaches_the_caller_and_a_second_try_finishes(
    store: SqliteEventStore, path: Path
) -> None:
    find = store._eraser._find

    def broken() -> tuple[list[Leftover], list[Leftover]]:
        raise OSError("no")

    store._eraser._find = broken
    with pytest.raises(OSError, match="no"):
        store.delete_user(SECRET).result()
    store._eraser._find = find
    assert store.delete_user(SECRET).result() == 0
    assert not in_files(path, SECRET)
