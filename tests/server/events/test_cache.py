"""What is written is added to the histories in memory, at any moment of a read, and never twice."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from honeyguide.server.events import event_file
from honeyguide.server.events.cache import HistoryCache
from honeyguide.server.events.snapshot import Snapshot, read_snapshot
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent
from honeyguide.server.events.tables import EventTables


class Process:
    """A writer and its cache, each step of a commit by itself."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db, self.tables, self.cache = db, EventTables(db), HistoryCache(1000, 0)
        self.commit, self.added = 0, []

    def write(self, *items: str) -> None:
        """Writes to the file; nobody is told."""
        self.tables.begin(alone=False)
        _, self.added = self.tables.record([[StoredEvent("anna", item, 1) for item in items]])
        self.commit = self.tables.number_commit()
        self.cache.announce(self.commit)
        self.tables.commit()

    def tell(self) -> None:
        self.cache.apply(self.commit, self.added)

    def read(self) -> int:
        ticket = self.cache.begin("anna")
        snapshot = read_snapshot(self.db, "anna")
        self.cache.end(ticket, snapshot)
        return len(snapshot.history)

    def known(self) -> int | None:
        history = self.cache.get("anna")
        return None if history is None else len(history)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(event_file.open_file(tmp_path / "events.db"))
    made.write(*(f"item-{i}" for i in range(100)))
    made.tell()
    yield made
    made.db.close()


def test_a_write_is_added_to_what_was_read_before(process: Process) -> None:
    assert (process.known(), process.read()) == (None, 100)
    process.write("book")
    process.tell()
    assert process.known() == 101


def test_a_read_between_commit_and_its_telling_has_the_write_once(process: Process) -> None:
    process.write("book")
    assert process.read() == 101
    process.tell()
    assert process.known() == 101


def test_a_read_that_a_write_overtakes_is_not_kept(process: Process) -> None:
    ticket = process.cache.begin("anna")
    old = read_snapshot(process.db, "anna")
    process.write("book")
    process.tell()
    process.cache.end(ticket, old)
    assert process.known() is None


def test_a_write_while_rows_are_being_added_is_not_lost(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    process.read()
    process.write("book")
    process.tell()
    entry = process.cache._entries["anna"]
    extend = type(entry.snapshot).extended

    def overtaken(self, rows):
        monkeypatch.undo()
        process.write("pen")
        process.tell()
        return extend(self, rows)

    monkeypatch.setattr(type(entry.snapshot), "extended", overtaken)
    assert process.known() == 101  # asked for before the pen was acknowledged
    assert process.known() == 102


def test_a_commit_of_another_process_that_may_concern_anybody_empties_the_cache(process: Process) -> None:
    process.read()
    process.cache.notice(2)
    assert process.known() is None
    process.read()
    process.write("book")  # this process takes it for number 2, for the other's is made up
    process.cache.apply(4, process.added)  # 3 was the other's
    assert process.known() is None


def test_rows_that_nobody_asks_for_do_not_pile_up(process: Process) -> None:
    process.read()
    for _ in range(20):
        process.write("book")
        process.tell()
    assert process.known() is None
    assert process.cache._size == 0
    assert process.read() == 120


def test_of_two_processes_neither_answers_with_less_or_more_than_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    rounds = 25

    def act(user: str) -> None:
        for i in range(rounds):
            store = stores[i % 3 == 0]
            store.record([StoredEvent(user, f"item-{i}", 100 - i % 5)] * 2).result()
            for reader in stores:
                assert len(reader.history(user)) == 40 + 2 * (i + 1)

    with SqliteEventStore(path) as mine, SqliteEventStore(path) as other, ThreadPoolExecutor(5) as threads:
        stores = (mine, other)
        users = [f"user-{u}" for u in range(4)]
        mine.record([StoredEvent(user, "old", i) for user in users for i in range(40)]).result()
        list(threads.map(act, users))
        for user in users:
            kept = [e.item_id for e in reversed(mine.page(user, 1000).events)]
            names = mine.item_ids()
            for store in stores:
                assert [names[number] for number in store.history(user).items] == kept


def test_a_long_history_is_read_from_the_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def counted(db: sqlite3.Connection, user_id: str) -> Snapshot:
        reads.append(user_id)
        return read_snapshot(db, user_id)

    monkeypatch.setattr("honeyguide.server.events.snapshot.MAX_HISTORY_EVENTS", 200)
    monkeypatch.setattr("honeyguide.server.events.reader.read_snapshot", counted)
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record([StoredEvent("anna", f"item-{i % 300}", i) for i in range(500)]).result()
        for i in range(50):
            history = store.history("anna")
            assert (len(history), history.count) == (200, 500 + i)
            assert history.seen is not None
            assert len(history.seen) == 300 + i
            store.record([StoredEvent("anna", f"new-{i}", 400 + i)]).result()
        assert reads == ["anna"]
