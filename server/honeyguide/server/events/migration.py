"""Brings all events of one store into another, and goes on where a former try ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.server.events.opening import describe_store, is_database, open_plain_store, scan_store
from honeyguide.server.events.scan import FIRST

__all__ = ["Migrated", "migrate"]

_ROWS = 10_000
"""Events of one transaction."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration came to."""

    events: int
    """Of the source, all of which the target has."""
    users: int
    """Who have them."""
    before: int
    """Events that a former try had brought over."""


def migrate(source: str, target: str, progress: Callable[[int], None] = lambda _events: None) -> Migrated:
    """Brings the events of a store into an empty one, or into one that a former try of the same filled in part.

    No server may write to either meanwhile. The place that was reached is committed with the events: a kill at any
    moment loses none and doubles none.

    Args:
        source: as the setting ``events`` names it.
        target: the same; made when it is missing.
        progress: told how many events the target has, now and then.

    Raises `ConfigError` where the target has events of its own, `DataError` where it has not what the source has.
    """
    if source == target:
        raise ConfigError(f"source and target are both {describe_store(source)!r}; name two stores")
    if not is_database(source) and not Path(source).is_file():
        raise ConfigError(f"the source is {source!r}, and there is no such file")
    mark = "migration of " + hashlib.sha256(_identity(source).encode()).hexdigest()[:16]
    with open_plain_store(target) as store:
        place = store.mark(mark)
        before, _ = store.totals()
        if before and not place:
            raise ConfigError(
                f"the target {describe_store(target)!r} has {before:,} events that no migration of this "
                "source brought; name an empty store"
            )
        done = before
        progress(done)
        after = tuple(json.loads(place)) if place else FIRST
        for frame in scan_store(source, after=after, rows=_ROWS):
            done += store.import_events(frame.events, (mark, json.dumps(frame.place))).accepted
            progress(done)
        with open_plain_store(source) as other:
            expected = other.totals()
        totals = store.totals()
    if totals != expected:
        raise DataError(
            "the source has {:,} events of {:,} users, the target {:,} of {:,}".format(*expected, *totals),
            remedy="stop every server that writes to either, empty the target, and begin again",
        )
    return Migrated(*totals, before)


def _identity(store: str) -> str:
    return describe_store(store) if is_database(store) else str(Path(store).resolve())
