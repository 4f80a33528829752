"""Lays events out in a SQLite file: opening and checking it, and the transactions that write to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep

import polars as pl

from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.server.events.store import RecordCounts, StoredEvent

__all__ = ["BUSY_SECONDS", "connect", "delete_user", "execute_patiently", "import_frame", "open_file", "record"]

_APPLICATION = 0x484F4E45  # "HONE", in the file's header
_FORMAT = 2
"""Since 2 an event's id is unique within its user; in 1 it was among all."""
_IN_MEMORY = ":memory:"
"""What SQLite takes for no file."""
BUSY_SECONDS = 5.0
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another process holds it: try again",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "see whether its disk is full or broken",
}
"""What helps where the file itself is sound."""
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
# A history is one range of the clustered key: users × time × order of insertion.
_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_NEW = _INSERT + " ON CONFLICT (user, event_id) WHERE event_id IS NOT NULL DO NOTHING"
_FIND_EVENT = "SELECT 1 FROM events WHERE user = ? AND event_id = ?"
_FIND = {
    "users": "SELECT id FROM users WHERE name = ?",
    "items": "SELECT id FROM items WHERE name = ?",
    "types": "SELECT id FROM types WHERE name = ?",
}
# Numbers are dense from 0, so that readers may use them as places in a list.
_ADD = {
    "users": "INSERT INTO users SELECT coalesce(max(id) + 1, 0), ? FROM users",
    "items": "INSERT INTO items SELECT coalesce(max(id) + 1, 0), ? FROM items",
    "types": "INSERT INTO types SELECT coalesce(max(id) + 1, 0), ? FROM types",
}


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
    advice = "name another file by the setting `events`, or restore this one from a backup"
    try:
        db = connect(path)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"events is {str(path)!r}, which cannot be opened ({error}); {advice}") from error
    try:
        if problem := _problem(db, path):
            raise ConfigError(f"events is {str(path)!r}, {problem}; {advice}")  # noqa: TRY301  # closes db as the rest does
        _prepare(db)
    except sqlite3.Error as error:
        db.close()
        remedy = _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)  # the rest says more, such as where
        problem = (
            f"which cannot be opened ({error}); {remedy}" if remedy else f"which is no sound event store ({error})"
        )
        raise ConfigError(f"events is {str(path)!r}, {problem}{'' if remedy else f'; {advice}'}") from error
    except ConfigError:
        db.close()
        raise
    return db


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
    db.execute("COMMIT")


def _migrate(db: sqlite3.Connection) -> None:
    """Brings a file of format 1 to format 2, within the caller's transaction: a kill leaves it as it was."""
    db.execute("DROP INDEX event_ids")
    db.execute("CREATE UNIQUE INDEX event_ids ON events (user, event_id) WHERE event_id IS NOT NULL")
    db.execute("PRAGMA user_version = 2")


def _number(db: sqlite3.Connection, table: str, name: str) -> int:
    """Returns the number of a name; a new name gets the next one."""
    row = db.execute(_FIND[table], (name,)).fetchone()
    if row:
        return int(row[0])
    return db.execute(_ADD[table], (name,)).lastrowid or 0


def record(db: sqlite3.Connection, events: Sequence[StoredEvent]) -> RecordCounts:
    """Writes events, within the caller's transaction; an event_id that its user has already is a duplicate."""
    first = number = int(db.execute("SELECT next_event FROM state").fetchone()[0])
    for e in events:
        user = _number(db, "users", e.user_id)  # a user who is new has no event, and so no duplicate
        if e.event_id and db.execute(_FIND_EVENT, (user, e.event_id)).fetchone():
            continue
        names = _number(db, "items", e.item_id), _number(db, "types", e.event_type)
        features = (e.dwell_seconds, e.clicks, e.quantity, e.value, e.request_id or None, e.event_id or None)
        db.execute(_INSERT, (user, e.time_ms, number, *names, *features))
        number += 1
    db.execute("UPDATE state SET next_event = ?", (number,))
    return RecordCounts(number - first, len(events) - (number - first))


def import_frame(db: sqlite3.Connection, events: pl.DataFrame) -> RecordCounts:
    """Writes a table of events, as in `SqliteEventStore.import_events`, within the caller's transaction."""
    if events.is_empty():
        return RecordCounts(0, 0)
    first = int(db.execute("SELECT next_event FROM state").fetchone()[0])
    if "event_type" not in events.columns:
        events = events.with_columns(event_type=pl.lit(""))
    numbered = [
        events[column].replace_strict(
            {name: _number(db, table, name) for name in events[column].unique(maintain_order=True)},
            return_dtype=pl.Int64,
        )
        for column, table in (("user_id", "users"), ("item_id", "items"), ("event_type", "types"))
    ]
    nothing = pl.Series([None], dtype=pl.Float64).new_from_index(0, events.height)
    rows = zip(
        numbered[0].to_list(),
        events["time_ms"].to_list(),
        range(first, first + events.height),
        *(names.to_list() for names in numbered[1:]),
        *(events[name].fill_nan(None) if name in events.columns else nothing for name in EVENT_FEATURES),
        nothing,
        events["event_id"] if "event_id" in events.columns else nothing,
        strict=True,
    )
    changes = db.total_changes
    db.executemany(_INSERT_NEW, rows)
    accepted = db.total_changes - changes
    db.execute("UPDATE state SET next_event = ?", (first + events.height,))
    return RecordCounts(accepted, events.height - accepted)


def delete_user(db: sqlite3.Connection, user_id: str) -> int:
    """Deletes a user with all events, within the caller's transaction; returns how many."""
    deletion = db.execute("DELETE FROM events WHERE user = (SELECT id FROM users WHERE name = ?)", (user_id,))
    deleted = deletion.rowcount
    db.execute("DELETE FROM users WHERE name = ?", (user_id,))
    return deleted
