"""Connects to PostgreSQL, makes the store's tables there, and tells what an error of it means."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import psycopg

from honeyguide.sdk.errors import ConfigError

__all__ = ["Db", "connect_postgres", "hide_password", "is_collision", "is_unreachable", "open_database"]

Db = psycopg.Connection[tuple[Any, ...]]

_FORMAT = 1
_LOCK = 0x686F6E65
"""Advisory lock of who makes the tables."""
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "8000",
    "application_name": "honeyguide",
}
"""A database that has gone is noticed within seconds. What the URL says itself wins."""
# Whoever waited for a lock must see what was committed meanwhile, whatever the database's own default is.
_SESSION = """SET synchronous_commit = on; SET default_transaction_isolation = 'read committed';
    SET statement_timeout = '30s'; SET search_path = honeyguide"""
# Text is ordered by its bytes, as in SQLite. A history is one range of the key: users × time × order of arrival.
_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS honeyguide;
CREATE TABLE honeyguide.state (format integer NOT NULL, version bigint NOT NULL, probes bigint NOT NULL);
CREATE TABLE honeyguide.users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE,
    epoch bigint NOT NULL, newest_ms bigint NOT NULL
);
CREATE TABLE honeyguide.items (id bigint PRIMARY KEY, name text COLLATE "C" UNIQUE);
CREATE TABLE honeyguide.types (id bigint PRIMARY KEY, name text COLLATE "C" UNIQUE);
CREATE TABLE honeyguide.events (
    user_id bigint NOT NULL, time_ms bigint NOT NULL, id bigint NOT NULL, item bigint NOT NULL, type bigint NOT NULL,
    dwell_seconds double precision, clicks double precision, quantity double precision, value double precision,
    request_id text, event_id text, PRIMARY KEY (user_id, time_ms, id)
);
CREATE UNIQUE INDEX event_ids ON honeyguide.events (user_id, event_id) WHERE event_id IS NOT NULL;
CREATE TABLE honeyguide.marks (name text PRIMARY KEY, place text NOT NULL);
CREATE TABLE honeyguide.leftovers (
    name text NOT NULL, id bigint NOT NULL, noted bigint NOT NULL, PRIMARY KEY (name, id)
);
CREATE SEQUENCE honeyguide.event_numbers;
CREATE SEQUENCE honeyguide.epochs;
INSERT INTO honeyguide.types VALUES (0, '');
INSERT INTO honeyguide.state VALUES (1, 0, 0);
"""


def connect_postgres(url: str, *, autocommit: bool) -> Db:
    """Opens a connection for one thread at a time; raises `psycopg.Error`."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    db = psycopg.connect(url, autocommit=True, **{k: v for k, v in _DEFAULTS.items() if k not in given})
    try:
        db.execute(_SESSION)
        db.autocommit = autocommit
    except psycopg.Error:
        db.close()
        raise
    return db


def open_database(url: str) -> None:
    """Makes the tables where there are none; raises `ConfigError` where they cannot be had."""
    try:
        with connect_postgres(url, autocommit=False) as db:
            if not _exists(db):
                db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                if not _exists(db):
                    db.execute(_SCHEMA)
            row = db.execute("SELECT format FROM honeyguide.state").fetchone()
            if row != (_FORMAT,):
                raise ConfigError(
                    f"events is {hide_password(url)!r}, whose tables have format {row and row[0]}, "
                    f"while this honeyguide reads format {_FORMAT}"
                )
    except psycopg.Error as error:
        told = " ".join(str(error).split())
        raise ConfigError(
            f"events is {hide_password(url)!r}, which cannot be opened ({told}); "
            "see whether PostgreSQL runs there, and whether user and database exist"
        ) from error


def hide_password(url: str) -> str:
    """Returns a URL as logs and people may see it."""
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return "postgresql://…"
    hosts, ports = (str(given.get(name) or "").split(",") for name in ("host", "port"))
    places = (f"{host}:{port}" if port else host for host, port in zip_longest(hosts, ports, fillvalue=""))
    return f"postgresql://{','.join(places)}/{given.get('dbname') or ''}"


def is_collision(error: Exception) -> bool:
    """Says whether the database ended a transaction for another's sake: a deadlock, or an order that cannot be."""
    return isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)


def is_unreachable(error: Exception) -> bool:
    """Says whether an error means that a connection is of no use any more, or that the database takes no writes."""
    lost = psycopg.OperationalError | psycopg.InterfaceError | psycopg.errors.ReadOnlySqlTransaction
    return isinstance(error, lost) and not is_collision(error)


def _exists(db: Db) -> bool:
    # Not `to_regclass`, which may remember that there was none before the lock was had.
    query = "SELECT 1 FROM pg_tables WHERE schemaname = 'honeyguide' AND tablename = 'state'"
    return db.execute(query).fetchone() is not None
