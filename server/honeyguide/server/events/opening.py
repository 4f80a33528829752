"""Opens the store of events that the settings name."""

from __future__ import annotations

from honeyguide.server.events.pseudonymous import PseudonymousStore, read_user_keys
from honeyguide.server.events.retention import KeepLimits
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import EventStore
from honeyguide.server.settings import Settings

__all__ = ["open_store"]


def open_store(settings: Settings) -> EventStore:
    """Opens the store; raises `ConfigError` saying why it cannot be had."""
    keep = KeepLimits(settings.events_keep_days, settings.events_keep_per_user)
    keys = read_user_keys(settings.events_user_keys) if settings.events_user_keys else []
    store = SqliteEventStore(settings.events, max_queue_seconds=settings.max_write_seconds, keep=keep)
    return PseudonymousStore(store, keys) if keys else store
