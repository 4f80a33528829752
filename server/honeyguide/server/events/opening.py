"""Opens the store of events that the settings name."""

from __future__ import annotations

from pathlib import Path

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.events.pseudonymous import PseudonymousStore, read_user_keys
from honeyguide.server.events.retention import KeepLimits
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import EventStore
from honeyguide.server.settings import Settings

__all__ = ["describe_store", "open_store"]

_POSTGRES = ("postgresql://", "postgres://")


def describe_store(events: str) -> str:
    """Returns what the setting names as logs may have it, without a password."""
    if not events.startswith(_POSTGRES):
        return events
    from honeyguide.server.events.postgres.connection import hide_password

    return hide_password(events)


def open_store(settings: Settings) -> EventStore:
    """Opens the store; raises `ConfigError` saying why it cannot be had."""
    keep = KeepLimits(settings.events_keep_days, settings.events_keep_per_user)
    keys = read_user_keys(settings.events_user_keys) if settings.events_user_keys else []
    store = _open(settings.events, settings.max_write_seconds, keep)
    return PseudonymousStore(store, keys) if keys else store


def _open(events: str, seconds: float, keep: KeepLimits) -> EventStore:
    if not events.startswith(_POSTGRES):
        return SqliteEventStore(Path(events), max_queue_seconds=seconds, keep=keep)
    try:
        from honeyguide.server.events.postgres.store import PostgresEventStore
    except ImportError as error:
        raise ConfigError(
            f"events is a database of PostgreSQL, for which {error.name} is missing: pip install 'honeyguide[postgres]'"
        ) from error
    return PostgresEventStore(events, max_queue_seconds=seconds, keep=keep)
