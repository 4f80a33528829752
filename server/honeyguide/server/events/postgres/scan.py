"""Reads all events of a database in bounded memory, as `scan_file` does of a file."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import psycopg

from honeyguide.sdk.errors import Unavailable
from honeyguide.server.events.postgres.connection import connect_postgres, hide_password, open_database
from honeyguide.server.events.scan import FIRST, LAST_MS, SCHEMA, EventFrame

__all__ = ["scan_database"]

_SCAN = """SELECT u.name, i.name, e.time_ms, t.name, e.dwell_seconds, e.clicks, e.quantity, e.value,
        e.request_id, e.event_id, e.user_id, e.id
    FROM (SELECT * FROM events WHERE (user_id, time_ms, id) > (%s, %s, %s) AND time_ms >= %s AND time_ms < %s
          ORDER BY user_id, time_ms, id LIMIT %s) e
        JOIN users u ON u.id = e.user_id JOIN items i ON i.id = e.item JOIN types t ON t.id = e.type
    ORDER BY e.user_id, e.time_ms, e.id"""


def scan_database(
    url: str,
    since_ms: int = -LAST_MS,
    until_ms: int = LAST_MS,
    after: tuple[int, int, int] = FIRST,
    rows: int = 50_000,
) -> Iterator[EventFrame]:
    """Reads the events from ``since_ms`` on and before ``until_ms``; see `scan_file`."""
    open_database(url)
    try:
        with connect_postgres(url, autocommit=True) as db:
            while found := db.execute(_SCAN, (*after, since_ms, until_ms, rows)).fetchall():
                after = (found[-1][10], found[-1][2], found[-1][11])
                columns = list(zip(*found, strict=True))[:10]
                frame = pl.DataFrame(dict(zip(SCHEMA, columns, strict=True)), schema=SCHEMA, strict=False)
                yield EventFrame(frame, after)
                if len(found) < rows:
                    return
    except psycopg.Error as error:
        raise Unavailable(f"the events in {hide_password(url)} could not be read ({error})") from error
