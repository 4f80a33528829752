"""Opens, and reads, the store of events that the settings name: a file, or a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.events.pseudonymous import PseudonymousStore, read_user_keys
from honeyguide.server.events.retention import KeepLimits
from honeyguide.server.events.scan import EventFrame, scan_file
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import EventStore
from honeyguide.server.settings import Settings

if TYPE_CHECKING:
    from honeyguide.server.events.postgres.store import PostgresEventStore

__all__ = ["describe_store", "is_database", "open_plain_store", "open_store", "scan_store"]

_POSTGRES = ("postgresql://", "postgres://")


def is_database(events: str) -> bool:
    """Says whether a setting names a database, and no file."""
    return events.startswith(_POSTGRES)


def describe_store(events: str) -> str:
    """Returns what the setting names as logs may have it, without a password."""
    if not is_database(events):
        return events
    _require_psycopg()
    from honeyguide.server.events.postgres.connection import hide_password

    return hide_password(events)


def open_store(settings: Settings) -> EventStore:
    """Opens the store; raises `ConfigError` saying why it cannot be had."""
    keep = KeepLimits(settings.events_keep_days, settings.events_keep_per_user)
    keys = read_user_keys(settings.events_user_keys) if settings.events_user_keys else []
    store = open_plain_store(settings.events, max_queue_seconds=settings.max_write_seconds, keep=keep)
    return PseudonymousStore(store, keys) if keys else store


def open_plain_store(events: str, **options: Any) -> SqliteEventStore | PostgresEventStore:
    """Opens a file or a database as it is, whatever its users are called; raises as `open_store` does.

    Args:
        events: as the setting names it.
        options: those of `SqliteEventStore`, which both have.
    """
    if not is_database(events):
        return SqliteEventStore(Path(events), **options)
    _require_psycopg()
    from honeyguide.server.events.postgres.store import PostgresEventStore

    return PostgresEventStore(events, **options)


def scan_store(events: str, **options: Any) -> Iterator[EventFrame]:
    """Reads all events of a file or a database; ``options``: those of `scan_file`."""
    if not is_database(events):
        return scan_file(Path(events), **options)
    _require_psycopg()
    from honeyguide.server.events.postgres.scan import scan_database

    return scan_database(events, **options)


def _require_psycopg() -> None:
    try:
        import psycopg  # noqa: F401  # whether it is there
    except ImportError as error:
        raise ConfigError(
            "events is a database of PostgreSQL, for which psycopg is missing: pip install 'honeyguide[postgres]'"
        ) from error
