"""Another process's commit costs the cache those it touched, and everybody where that is not known."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from honeyguide.server.events import changes
from honeyguide.server.events.changes import changed_users, note_change
from honeyguide.server.events.event_file import open_file
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = open_file(tmp_path / "events.db")
    db.executemany("INSERT INTO users VALUES (?, ?)", [(0, "ann"), (1, "bob"), (2, "cleo")])
    yield db
    db.close()


def test_commits_name_whom_they_touched(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    note_change(db, 1, {0, 1})
    note_change(db, 2, set())
    note_change(db, 3, {1, 2, 9})  # 9 was deleted since
    assert changed_users(db, 0, 3) == {"ann", "bob", "cleo"}
    assert changed_users(db, 1, 2) == frozenset()
    assert changed_users(db, 2, 3) == {"bob", "cleo"}
    assert changed_users(db, 2, 4) is None, "4 is not noted"
    note_change(db, 4, None)
    assert changed_users(db, 2, 4) is None, "4 may have touched anybody"
    monkeypatch.setattr(changes, "_USERS", 2)
    note_change(db, 5, {0, 1, 2})
    assert changed_users(db, 4, 5) is None
    monkeypatch.setattr(changes, "_COMMITS", 3)
    note_change(db, 6, {0})
    assert [row[0] for row in db.execute("SELECT commits FROM changes")] == [4, 5, 6]
    assert changed_users(db, 2, 6) is None


def known(store: SqliteEventStore) -> set[str]:
    return set(store._writer._cache._entries)


def test_only_the_users_another_process_wrote_for_are_read_again(tmp_path: Path) -> None:
    path, users = tmp_path / "events.db", ["ann", "bob", "cleo"]
    with SqliteEventStore(path) as mine, SqliteEventStore(path) as other:
        for store in (mine, other):
            store.record([StoredEvent(user, "item", 1) for user in users]).result()
        mine.histories(users)
        other.histories(users)
        other.record([StoredEvent("bob", "item", 2)]).result()
        assert [len(history) for history in mine.histories(["ann"])] == [2]
        assert known(mine) == {"ann", "cleo"}
        assert [len(history) for history in mine.histories(users)] == [2, 3, 2]
        # What this process writes before it looked at the other's is no excuse to forget everybody.
        other.record([StoredEvent("cleo", "item", 3)]).result()
        mine.record([StoredEvent("ann", "item", 4)]).result()
        assert known(mine) == {"bob"}, "a short history is read again, once its user does something"
        assert [len(history) for history in mine.histories(users)] == [3, 3, 3]
        other.delete_user("bob").result()
        assert [len(history) for history in mine.histories(users)] == [3, 0, 3]


def test_a_process_that_notes_nothing_costs_everybody(tmp_path: Path) -> None:
    path, users = tmp_path / "events.db", ["ann", "bob"]
    with SqliteEventStore(path) as mine, SqliteEventStore(path) as older:
        mine.record([StoredEvent(user, "item", 1) for user in users]).result()
        mine.histories(users)
        db = sqlite3.connect(path, isolation_level=None)
        older.record([StoredEvent("ann", "item", 2)]).result()
        db.execute("DELETE FROM changes WHERE commits = (SELECT commits FROM state)")  # as if it had never been noted
        db.close()
        assert [len(history) for history in mine.histories(["bob"])] == [1]
        assert known(mine) == {"bob"}
