"""Nothing is acknowledged that a restart forgets: the store notices when its files are taken away (`disk_file.py`)."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from honeyguide.sdk.errors import ConfigError, Unavailable
from honeyguide.server.events import event_file
from honeyguide.server.events.disk_file import EventFile, close_to_others, holders_of
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import RecordCounts, StoredEvent

BOOK = [StoredEvent("anna", "book", 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteEventStore]:
    with SqliteEventStore(path) as opened:
        opened.record(BOOK).result()
        assert len(opened.history("anna")) == 1
        yield opened


def until(holds: Callable[[], bool], seconds: float = 5) -> bool:
    end = monotonic() + seconds
    while not holds() and monotonic() < end:
        sleep(0.02)
    return holds()


def replace(path: Path) -> None:
    path.rename(path.with_name("moved.db"))
    sqlite3.connect(path).close()
    shutil.copy(path.with_name("moved.db"), path)


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
@pytest.mark.parametrize("harm", [os.unlink, replace])
def test_nothing_is_acknowledged_once_a_file_is_taken_away(
    store: SqliteEventStore, path: Path, end: str, harm: Callable[[Path], None]
) -> None:
    assert store.problem == ""
    harm(path.with_name(path.name + end))
    for _ in range(2):
        with pytest.raises(Unavailable, match="taken away") as refused:
            store.record(BOOK).result()
        assert path.name not in refused.value.message
    assert f"events.db{end} is " in store.problem
    assert len(store.history("anna")) == 1  # read from what is still open


def test_a_file_that_is_emptied_is_noticed(store: SqliteEventStore, path: Path) -> None:
    empty(path)
    with pytest.raises(Unavailable, match="taken away"):
        store.record(BOOK).result()


def test_a_file_taken_away_is_noticed_while_nobody_writes_and_a_file_brought_back_too(
    store: SqliteEventStore, path: Path
) -> None:
    path.rename(path.with_name("away"))
    assert until(lambda: "is gone" in store.problem)
    path.with_name("away").rename(path)
    assert until(lambda: store.problem == "")
    assert store.record(BOOK).result() == RecordCounts(1, 0)


def test_what_is_taken_away_during_a_commit_is_not_acknowledged(
    store: SqliteEventStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = store._writer._tables.commit

    def unlink_meanwhile() -> None:
        commit()
        path.unlink()

    monkeypatch.setattr(store._writer._tables, "commit", unlink_meanwhile)
    with pytest.raises(Unavailable, match="taken away"):
        store.record(BOOK).result()


def test_a_reader_does_not_open_the_file_that_took_the_place(store: SqliteEventStore, path: Path) -> None:
    store._reader.close()  # the next read opens a connection
    replace(path)
    assert store.histories(["anna"])[0].unreadable
    assert "another file" in store.problem


def test_a_disk_that_refuses_is_said_until_it_takes_events_again(store: SqliteEventStore) -> None:
    store._writer._tables._db.execute("PRAGMA query_only = ON")
    with pytest.raises(Unavailable, match="readonly"):
        store.record(BOOK).result()
    assert "readonly" in store.problem
    assert len(store.history("anna")) == 1
    store._writer._tables._db.execute("PRAGMA query_only = OFF")
    assert until(lambda: store.problem == "")  # found out without a write of anybody's
    assert store.record(BOOK).result() == RecordCounts(1, 0)


def test_nobody_else_may_read_the_files(store: SqliteEventStore, path: Path) -> None:
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert EventFile(path).problem() == ""


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o666, 0o600), (0o640, 0o640), (0o600, 0o600)])
def test_a_file_that_was_open_to_everybody_is_closed(path: Path, before: int, after: int) -> None:
    path.touch()
    path.chmod(before)
    close_to_others(path)
    assert path.stat().st_mode & 0o777 == after


def test_who_holds_a_file_is_named_and_no_backup_is_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr("honeyguide.server.events.disk_file.os.getpid", lambda: -1)
        assert f"{os.getppid()}" not in holders_of(path)
        with pytest.raises(ConfigError, match=r"another process holds it: \d+ \(.+\); stop that one") as refused:
            SqliteEventStore(path)
        assert "backup" not in refused.value.message
    finally:
        other.close()
