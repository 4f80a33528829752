"""What is written is added to the histories in memory, at any moment of a read, and never twice."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from honeyguide.server.events import event_file
from honeyguide.server.events.cache import HistoryCache
from honeyguide.server.events.snapshot import read_snapshot
from honeyguide.server.events.store import StoredEvent
from honeyguide.server.events.tables import EventTables


class Process:
    """A writer and its cache, each step of a commit by itself."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db, self.tables, self.cache = db, EventTables(db), HistoryCache(1000, 0)
        self.commit, self.added = 0, []

    def write(self, *items: str) -> None:
        """Writes to the file; nobody is told."""
        self.tables.begin()
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


def test_a_commit_of_another_process_empties_the_cache(process: Process) -> None:
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
