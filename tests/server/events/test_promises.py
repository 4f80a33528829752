"""SQLite keeps what every store of events promises (`group_commit.py`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_promises import *  # noqa: F403  # the tests

from honeyguide.server.events.sqlite import SqliteEventStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteEventStore]:
    with SqliteEventStore(tmp_path / "events.db") as opened:
        yield opened


@pytest.fixture
def other(store: SqliteEventStore, tmp_path: Path) -> Iterator[SqliteEventStore]:  # made first
    with SqliteEventStore(tmp_path / "events.db") as opened:
        yield opened
