"""Starts one PostgreSQL for all tests of this folder, which run where ``--services`` is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, find_programs

from honeyguide.server.events.postgres.store import PostgresEventStore


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:  # pytest's
    """Leaves the folder out of the tests that need Python alone."""
    return None if config.getoption("--services") else True


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that runs."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgresServer(programs)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """An empty database."""
    return postgres.make("events")


@pytest.fixture
def store(url: str) -> Iterator[PostgresEventStore]:
    """An empty store."""
    with PostgresEventStore(url) as opened:
        yield opened


@pytest.fixture
def other(store: PostgresEventStore, url: str) -> Iterator[PostgresEventStore]:  # made first
    """The same store, as another server has it."""
    with PostgresEventStore(url) as opened:
        yield opened
