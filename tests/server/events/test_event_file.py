"""A file of an earlier format opens and is brought up to date in place; a kill meanwhile loses nothing."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.events import event_file
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import RecordCounts, StoredEvent

FORMAT_1 = Path(__file__).parent / "data" / "events-format-1.db"
"""Written by the version before: 60 events of anna with ids, 40 of ben without, one of кот with an id."""

_KILLED = """
import os, signal, sys
from pathlib import Path
from honeyguide.server.events import event_file

class Killing:
    def __init__(self, db, word):
        self.db, self.word = db, word

    def execute(self, statement, *rest):
        if statement.startswith(self.word):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.db.execute(statement, *rest)

migrate = event_file._migrate
event_file._migrate = lambda db: migrate(Killing(db, sys.argv[2]))
if sys.argv[2] == "COMMIT":
    event_file._migrate = lambda db: (migrate(db), os.kill(os.getpid(), signal.SIGKILL))
event_file.open_file(Path(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copyfile(FORMAT_1, tmp_path / "events.db"))


def events(path: Path) -> dict[str, list[StoredEvent]]:
    with SqliteEventStore(path) as store:
        return {user: store.page(user, 1000).events for user in ("anna", "ben", "кот")}


def format_of(path: Path) -> int:
    db = sqlite3.connect(path)
    try:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    finally:
        db.close()


def test_every_event_of_an_earlier_file_is_there(path: Path) -> None:
    assert format_of(path) == 1
    stored = events(path)
    assert {user: len(of_user) for user, of_user in stored.items()} == {"anna": 60, "ben": 40, "кот": 1}
    newest = stored["anna"][0]
    assert (newest.event_type, newest.dwell_seconds, newest.clicks, newest.value) == ("", 88.5, None, -2.0)
    assert (newest.request_id, newest.event_id, newest.time_ms) == ("request", "id-59", 1_700_000_000_059)
    assert format_of(path) == 2
    assert events(path) == stored


def test_an_id_of_an_earlier_file_is_a_duplicate_for_its_user_alone(path: Path) -> None:
    again = [StoredEvent(user, "book", 7, event_id="id-3") for user in ("anna", "ben", "ben")]
    with SqliteEventStore(path) as store:
        assert store.record(again).result() == RecordCounts(accepted=1, duplicates=2)
        assert store.count("ben") == 41


@pytest.mark.parametrize("moment", ["DROP", "CREATE", "PRAGMA", "COMMIT"])
def test_a_kill_during_the_migration_loses_nothing(path: Path, tmp_path: Path, moment: str) -> None:
    expected = events(Path(shutil.copyfile(FORMAT_1, tmp_path / "unharmed.db")))
    killed = subprocess.run([sys.executable, "-c", _KILLED, path, moment], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert format_of(path) == 1
    assert events(path) == expected
    assert format_of(path) == 2


def test_a_file_that_another_process_makes_is_waited_for(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    let_go = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    let_go.start()
    with SqliteEventStore(tmp_path / "new.db") as store:
        assert store.count("anna") == 0
    let_go.join()
    other.close()


def test_a_file_that_another_process_keeps_is_not_called_unsound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ConfigError, match=r"cannot be opened \(database is locked\); another process holds it"):
        SqliteEventStore(path)
    other.close()


@pytest.mark.parametrize(
    ("code", "damaged"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_IOERR_READ, True),
        (sqlite3.SQLITE_IOERR_SHORT_READ, True),
        (sqlite3.SQLITE_IOERR_WRITE, False),
        (sqlite3.SQLITE_IOERR_FSYNC, False),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_BUSY, False),
    ],
)
def test_a_write_that_failed_is_no_damage(code: int, damaged: bool) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    assert event_file.is_damage(error) == damaged
