"""Reads one user's history from the file, and adds what was written since without reading it again."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.server.events.store import MAX_HISTORY_EVENTS, MAX_SEEN_ITEMS, StoredHistory
from honeyguide.server.events.tables import EventRow

__all__ = ["Snapshot", "history_of", "read_snapshot"]

_NEWEST = """SELECT item, time_ms, type, dwell_seconds, clicks, quantity, value, id FROM events
    WHERE user = (SELECT id FROM users WHERE name = ?) ORDER BY time_ms DESC, id DESC LIMIT ?"""
_SEEN = """SELECT item, max(time_ms) FROM events WHERE user = (SELECT id FROM users WHERE name = ?)
    GROUP BY item ORDER BY 2 DESC LIMIT ?"""
_WHOLE = "SELECT count(*), max(id) FROM events WHERE user = (SELECT id FROM users WHERE name = ?)"
_COLUMNS = {"items": np.int64, "times_ms": np.int64, "event_types": np.int32} | dict.fromkeys(
    EVENT_FEATURES, np.float32
)
_CHUNK = 1000
"""Rows made into an array at once: a long history must not keep the interpreter from other threads."""
_SHORT = """SELECT count(*), max(id), group_concat(item), group_concat(time_ms), group_concat(type),
        count(dwell_seconds), group_concat(dwell_seconds), count(clicks), group_concat(clicks),
        count(quantity), group_concat(quantity), count(value), group_concat(value)
    FROM (SELECT item, time_ms, type, dwell_seconds, clicks, quantity, value, id FROM events
        WHERE user = (SELECT id FROM users WHERE name = ?) ORDER BY time_ms DESC, id DESC LIMIT ?)"""
"""A history as lists of numbers in one row: at each row SQLite gives the interpreter away and waits to have it back."""
_GAPPED = re.sub(rf"group_concat\(({'|'.join(EVENT_FEATURES)})\)", r"group_concat(ifnull(\1, 'nan'))", _SHORT)
"""The same for a history some of whose events lack what others have; it takes half as long again."""
_MISSING: NDArray[np.float32] = np.full(_CHUNK, np.nan, np.float32)
_MISSING.flags.writeable = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Whole history of one user, as of a moment."""

    history: StoredHistory
    last_event: int
    """The greatest number of the user's events; -1: there are none. Each event written later has a greater one."""
    seen_times: NDArray[np.int64] | None = None
    """(items,) when each of `StoredHistory.seen` was met last, newest first; None: as there."""

    def extended(self, rows: Sequence[EventRow]) -> Snapshot | None:
        """Returns the history with the rows that it lacks; None where they make it too long to know without the file.

        Args:
            rows: events of the user in the order they were written; all that were written since the snapshot are there.
        """
        old = self.history
        rows = [row for row in rows if row[2] > self.last_event]
        count = old.count + len(rows)
        if not rows:
            return self
        if old.seen is None and count > MAX_HISTORY_EVENTS:
            return None
        new = _columns(np.array([(row[3], row[1], *row[4:9]) for row in rows], np.float64))
        columns = {name: np.concatenate([getattr(old, name), column]) for name, column in new.items()}
        times = columns["times_ms"]
        if (times[1:] < times[:-1]).any():
            order = np.argsort(times, kind="stable")  # equal times: what was written later comes later
            columns = {name: column[order] for name, column in columns.items()}
        columns = {name: column[-MAX_HISTORY_EVENTS:] for name, column in columns.items()}
        last_event = rows[-1][2]
        if old.seen is None or self.seen_times is None:
            return Snapshot(StoredHistory(**_frozen(columns), count=count), last_event)
        seen, seen_times = _distinct(
            np.concatenate([new["items"], old.seen]), np.concatenate([new["times_ms"], self.seen_times])
        )
        return _long(columns, count, last_event, seen, seen_times, truncated=old.truncated)


def read_snapshot(db: sqlite3.Connection, user_id: str) -> Snapshot:
    """Reads a user's history; the interpreter is free while SQLite goes through a long one."""
    most = min(_CHUNK, MAX_HISTORY_EVENTS)
    row = db.execute(_SHORT, (user_id, most + 1)).fetchone()
    if row[0] <= most and any(known not in (0, row[0]) for known in row[5::2]):
        row = db.execute(_GAPPED, (user_id, most + 1)).fetchone()
    if not 0 < row[0] <= most:
        return _read_long(db, user_id)
    count, last_event, items, times, types, *features = row
    columns = {
        "items": _numbers(items, np.int64),
        "times_ms": _numbers(times, np.int64),
        "event_types": _numbers(types, np.int32),
    }
    for name, known, numbers in zip(EVENT_FEATURES, features[::2], features[1::2], strict=True):
        columns[name] = _numbers(numbers, np.float32) if known else _MISSING[:count]
    return Snapshot(StoredHistory(**_frozen(columns), count=count), last_event)


def _read_long(db: sqlite3.Connection, user_id: str) -> Snapshot:
    table = _table(db.execute(_NEWEST, (user_id, MAX_HISTORY_EVENTS + 1)), len(_COLUMNS) + 1)
    if len(table) <= MAX_HISTORY_EVENTS:
        history = StoredHistory(**_frozen(_columns(table[::-1])), count=len(table))
        return Snapshot(history, int(table[:, -1].max()) if len(table) else -1)
    db.execute("BEGIN")  # the queries that follow see one state of the file
    try:
        table = _table(db.execute(_NEWEST, (user_id, MAX_HISTORY_EVENTS)), len(_COLUMNS) + 1)
        seen, seen_times = _table(db.execute(_SEEN, (user_id, MAX_SEEN_ITEMS + 1)), 2).astype(np.int64).T
        count, last_event = db.execute(_WHOLE, (user_id,)).fetchone()
    finally:
        db.execute("COMMIT")
    return _long(_columns(table[::-1]), count, last_event, seen, seen_times, truncated=False)


def history_of(
    table: NDArray[np.float64], count: int | None = None, seen: NDArray[np.int64] | None = None
) -> StoredHistory:
    """Makes a history of rows, oldest first.

    Args:
        table: (events, 7) item, time_ms, type and the four features; NaN: not known.
        count: how many events the user has; None: these.
        seen: the distinct items of all events, the newest first, one more than is kept where there are so many; None:
            of these.
    """
    columns = _frozen(_columns(table))
    if seen is None:
        return StoredHistory(**columns, count=len(table) if count is None else count)
    kept = seen[:MAX_SEEN_ITEMS].copy()
    kept.flags.writeable = False
    truncated = len(seen) > MAX_SEEN_ITEMS
    return StoredHistory(**columns, count=len(table) if count is None else count, seen=kept, truncated=truncated)


def _long(
    columns: dict[str, Any],
    count: int,
    last_event: int,
    seen: NDArray[np.int64],
    seen_times: NDArray[np.int64],
    *,
    truncated: bool,
) -> Snapshot:
    kept = seen[:MAX_SEEN_ITEMS].copy()
    kept.flags.writeable = False
    history = StoredHistory(
        **_frozen(columns), count=count, seen=kept, truncated=truncated or len(seen) > MAX_SEEN_ITEMS
    )
    return Snapshot(history, last_event, seen_times[:MAX_SEEN_ITEMS].copy())


def _distinct(items: NDArray[np.int64], times: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the distinct items and when each was met last, newest first."""
    order = np.argsort(-times, kind="stable")
    items, times = items[order], times[order]
    _, first = np.unique(items, return_index=True)
    first.sort()
    return items[first], times[first]


def _table(cursor: sqlite3.Cursor, width: int) -> NDArray[np.float64]:
    """Fetches rows of numbers; None becomes NaN. float64 holds item numbers and milliseconds exactly, up to 2**53."""
    parts = []
    while len(rows := cursor.fetchmany(_CHUNK)) == _CHUNK:
        parts.append(np.array(rows, np.float64))
    last = np.array(rows, np.float64).reshape(len(rows), width)
    return np.concatenate([*parts, last]) if parts else last


def _numbers(text: str, dtype: type) -> NDArray[Any]:
    """Returns the numbers of a list that holds the newest first, oldest first."""
    return np.fromstring(text, dtype, sep=",")[::-1].copy()


def _columns(table: NDArray[np.float64]) -> dict[str, Any]:
    """Returns the columns of rows."""
    return {name: table[:, place].astype(dtype) for place, (name, dtype) in enumerate(_COLUMNS.items())}


def _frozen(columns: dict[str, Any]) -> dict[str, Any]:
    for column in columns.values():
        column.flags.writeable = False  # it is shared by every reader of the cache
    return columns
