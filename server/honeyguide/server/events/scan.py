"""Reads all events of a store in bounded memory while a server writes to it: tables, one after the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from honeyguide.sdk.errors import ConfigError, Unavailable
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.server.events.event_file import connect, is_event_file

__all__ = ["FIRST", "LAST_MS", "EventFrame", "scan_file"]

FIRST = (-1, 0, 0)
"""The place before the first event."""
LAST_MS = 1 << 62
"""A moment after every event."""
SCHEMA = pl.Schema(
    {"user_id": pl.String, "item_id": pl.String, "time_ms": pl.Int64, "event_type": pl.String}
    | dict.fromkeys(EVENT_FEATURES, pl.Float64)
    | {"request_id": pl.String, "event_id": pl.String}
)
# CROSS JOIN: in the order of the table of events, whatever SQLite thinks of the others.
_SCAN = """SELECT u.name, i.name, e.time_ms, t.name, e.dwell_seconds, e.clicks, e.quantity, e.value,
        e.request_id, e.event_id, e.user, e.id
    FROM events e CROSS JOIN users u ON u.id = e.user CROSS JOIN items i ON i.id = e.item
        CROSS JOIN types t ON t.id = e.type
    WHERE (e.user, e.time_ms, e.id) > (?, ?, ?) AND e.time_ms >= ? AND e.time_ms < ?
    ORDER BY e.user, e.time_ms, e.id LIMIT ?"""


class EventFrame(NamedTuple):
    """Some events, by user and then by time."""

    events: pl.DataFrame
    """Columns of `SCHEMA`; null: there is none."""
    place: tuple[int, int, int]
    """Of the last one; `scan_file` goes on after it."""


def scan_file(
    path: Path,
    since_ms: int = -LAST_MS,
    until_ms: int = LAST_MS,
    after: tuple[int, int, int] = FIRST,
    rows: int = 50_000,
) -> Iterator[EventFrame]:
    """Reads the events of a SQLite file from ``since_ms`` on and before ``until_ms``.

    Each table is one short reading transaction, which keeps the server from nothing; what is recorded or deleted
    meanwhile is in or not, each event whole. Raises `ConfigError` where there is no such file, `Unavailable` where it
    is damaged.
    """
    if not path.is_file():
        raise ConfigError(f"events is {str(path)!r}, and there is no such file")
    try:
        db = connect(path)
        try:
            if not is_event_file(db):
                raise ConfigError(f"events is {str(path)!r}, which is no event store of this version")
            db.execute("PRAGMA query_only = ON")
            while found := db.execute(_SCAN, (*after, since_ms, until_ms, rows)).fetchall():
                after = (found[-1][10], found[-1][2], found[-1][11])
                columns = list(zip(*found, strict=True))[:10]
                frame = pl.DataFrame(dict(zip(SCHEMA, columns, strict=True)), schema=SCHEMA, strict=False)
                yield EventFrame(frame, after)
                if len(found) < rows:
                    return
        finally:
            db.close()
    except sqlite3.Error as error:
        raise Unavailable(f"the events in {path} could not be read ({error})") from error
