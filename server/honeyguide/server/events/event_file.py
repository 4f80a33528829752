"""Lays events out in a SQLite file, opens it and checks it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from time import monotonic, sleep, time_ns

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.events.changes import CHANGES_TABLE
from honeyguide.server.events.disk_file import close_to_others, holders_of

__all__ = ["BUSY_SECONDS", "connect", "execute_patiently", "is_damage", "is_event_file", "open_file"]

_APPLICATION = 0x484F4E45  # "HONE", in the file's header
_FORMAT = 2
"""Since 2 an event's id is unique within its user; in 1 it was among all."""
_IN_MEMORY = ":memory:"
"""What SQLite takes for no file."""
BUSY_SECONDS = 5.0
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another process holds it: {holders}; stop that one, or wait until it is done",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "see whether its disk is full or broken",
    sqlite3.SQLITE_READONLY: "this process may not write to it: see its owner and mode, and those of its folder",
    sqlite3.SQLITE_PERM: "this process may not open it: see its owner and mode, and those of its folder",
}
"""What helps where the file itself is sound."""
_UNREADABLE = (
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_DATA,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)
"""Failures of the disk that are of one place in the file; a failed write or fsync is over when the next one works."""
_DAY_MS = 86_400_000  # how far ahead of the clock events may be
_ADVICE = "name another file by the setting `events`, or restore this one from a backup"
_CHECK_BYTES = 256 << 20  # a full check of this much takes about a second; beyond, pages are checked as they are read
_SCHEMA = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE events (
    user INTEGER NOT NULL, time_ms INTEGER NOT NULL, id INTEGER NOT NULL,
    item INTEGER NOT NULL, type INTEGER NOT NULL,
    dwell_seconds REAL, clicks REAL, quantity REAL, value REAL, request_id TEXT, event_id TEXT,
    PRIMARY KEY (user, time_ms, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX event_ids ON events (user, event_id) WHERE event_id IS NOT NULL;
CREATE TABLE state (next_event INTEGER NOT NULL, commits INTEGER NOT NULL);
INSERT INTO types VALUES (0, '');
INSERT INTO state VALUES (1, 0);
"""
_LEFTOVERS = """CREATE TABLE IF NOT EXISTS leftovers (
    name TEXT NOT NULL, id INTEGER NOT NULL, noted INTEGER NOT NULL, PRIMARY KEY (name, id)) WITHOUT ROWID"""
# A history is one range of the clustered key: users × time × order of insertion.


def connect(path: Path) -> sqlite3.Connection:
    """Opens one more connection; it is for one thread at a time, and leaves transactions to its user."""
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
    except sqlite3.Error:
        db.close()
        raise
    return db


def is_damage(error: Exception) -> bool:
    """Says whether an error of a read means that the file is damaged, not that it cannot be had at the moment."""
    if not isinstance(error, sqlite3.Error):  # what was read is no row of ours
        return True
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or code in _UNREADABLE


def execute_patiently(db: sqlite3.Connection, statement: str) -> None:
    """Executes a statement that needs the file's lock, waiting for another process's commit.

    SQLite's own waiting sleeps up to 100 ms at a time, and so misses the gaps of a busy importer for seconds.
    """
    deadline = monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(0.001)
        else:
            return


def open_file(path: Path) -> sqlite3.Connection:
    """Opens the file for writing, making it when it is missing.

    Raises `ConfigError` when it is corrupt, foreign, of another format, no file at all, or cannot be written.
    """
    if str(path) == _IN_MEMORY:
        raise ConfigError(
            f"events is {_IN_MEMORY!r}, which no other process can read and no restart survives; name a file, such as "
            "events.db"
        )
    db = None
    try:
        close_to_others(path)
        db = connect(path)
        if problem := _problem(db, path):
            raise ConfigError(f"events is {str(path)!r}, {problem}; {_ADVICE}")  # noqa: TRY301  # closes db as the rest does
        _prepare(db)
    except (OSError, sqlite3.Error) as error:
        if db is not None:
            db.close()
        raise ConfigError(f"events is {str(path)!r}, {_explain(error, path)}") from error
    except ConfigError:
        if db is not None:
            db.close()
        raise
    return db


def _explain(error: OSError | sqlite3.Error, path: Path) -> str:
    """Says why a file cannot be opened, and what helps; a sound one need not be restored from a backup."""
    remedy = _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)  # the rest says more, such as where
    if remedy:
        holders = holders_of(path) or "one that this process may not see"
        return f"which cannot be opened ({error}); {remedy.format(holders=holders)}"
    if isinstance(error, OSError):
        return f"which cannot be opened ({error.strerror}); name another file by the setting `events`"
    return f"which is no sound event store ({error}); {_ADVICE}"


def _problem(db: sqlite3.Connection, path: Path) -> str:
    """Says why a file is not ours; "" when it is, or is empty."""
    if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        return ""
    if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
        return "a database of another program"
    if not 1 <= (form := db.execute("PRAGMA user_version").fetchone()[0]) <= _FORMAT:
        return f"of format {form}, while this honeyguide reads formats 1 to {_FORMAT}"
    if path.stat().st_size > _CHECK_BYTES:
        return ""
    finding = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    return "" if finding == "ok" else f"which is corrupt ({finding})"


def is_event_file(db: sqlite3.Connection) -> bool:
    """Says whether a connection's file is one of ours, of the newest format."""
    marks = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return marks == [_APPLICATION, _FORMAT]


def _prepare(db: sqlite3.Connection) -> None:
    execute_patiently(db, "PRAGMA journal_mode = WAL")  # SQLite itself does not wait for this one
    db.execute("BEGIN IMMEDIATE")  # proves that the file can be written
    if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        for statement in _SCHEMA.split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {_FORMAT}")
    elif db.execute("PRAGMA user_version").fetchone()[0] == 1:
        _migrate(db)
    _add_later_parts(db)
    db.execute("COMMIT")


def _add_later_parts(db: sqlite3.Connection) -> None:
    """Adds what files of format 2 have since; a process that knows nothing of it may go on using the file."""
    db.execute(_LEFTOVERS)
    db.execute("CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID")
    db.execute(CHANGES_TABLE)
    if not any(column[1] == "newest_ms" for column in db.execute("PRAGMA table_info(state)")):
        db.execute("ALTER TABLE state ADD COLUMN newest_ms INTEGER NOT NULL DEFAULT 0")
        # An upper bound is as good as the time itself, which only all events could tell.
        is_new = db.execute("SELECT next_event FROM state").fetchone()[0] == 1
        newest = 0 if is_new else time_ns() // 1_000_000 + _DAY_MS
        db.execute("UPDATE state SET newest_ms = ?", (newest,))


def _migrate(db: sqlite3.Connection) -> None:
    """Brings a file of format 1 to format 2, within the caller's transaction: a kill leaves it as it was."""
    db.execute("DROP INDEX event_ids")
    db.execute("CREATE UNIQUE INDEX event_ids ON events (user, event_id) WHERE event_id IS NOT NULL")
    db.execute("PRAGMA user_version = 2")
