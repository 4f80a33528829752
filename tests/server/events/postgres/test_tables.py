"""Transactions of two servers that want the same rows at the same moment (`tables.py`, `names.py`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

import psycopg
import pytest

from honeyguide.server.events.postgres.store import PostgresEventStore
from honeyguide.server.events.postgres.tables import PostgresTables
from honeyguide.server.events.store import RecordCounts, StoredEvent


@pytest.fixture
def writers(store: PostgresEventStore, url: str) -> Iterator[tuple[PostgresTables, PostgresTables]]:
    """Two servers' ways to write to the database of the store."""
    store.record([StoredEvent(user, "book", 1) for user in ("anna", "ben")]).result(5)
    one, two = PostgresTables(url), PostgresTables(url)
    try:
        yield one, two
    finally:
        one.close()
        two.close()


@contextmanager
def waiting(tables: PostgresTables, *, alone: bool) -> Iterator[threading.Thread]:
    """Begins a transaction on another thread, which must wait."""
    begins = threading.Thread(target=lambda: tables.begin(alone=alone))
    begins.start()
    begins.join(0.2)
    assert begins.is_alive()
    try:
        yield begins
    finally:
        begins.join(5)
        assert not begins.is_alive()


def test_who_writes_alone_waits_for_the_others_and_they_for_it(
    writers: tuple[PostgresTables, PostgresTables],
) -> None:
    one, two = writers
    one.begin(alone=False)
    one.record([[StoredEvent("carl", "book", 1)]])
    with waiting(two, alone=True):
        one.commit()
    two.delete_user("anna")
    with waiting(one, alone=False):
        two.commit()
    one.record([[StoredEvent("carl", "book", 2)]])
    one.commit()


def test_who_records_together_with_others_does_not_wait(writers: tuple[PostgresTables, PostgresTables]) -> None:
    one, two = writers
    one.begin(alone=False)
    one.record([[StoredEvent("anna", "book", 2)]])
    two.begin(alone=False)
    assert two.record([[StoredEvent("ben", "book", 2)]])[0] == [RecordCounts(1, 0)]
    two.commit()
    one.commit()


def test_a_name_that_is_used_while_it_is_erased_keeps_its_events(
    store: PostgresEventStore, writers: tuple[PostgresTables, PostgresTables]
) -> None:
    one, two = writers
    for user in ("anna", "ben"):
        two.begin(alone=True)
        two.delete_user(user)
        two.commit()
    unused, used = store._reader.leftovers()
    assert (len(unused), used) == (1, [])
    two.begin(alone=True)
    two.erase_names(unused, used)
    with waiting(one, alone=False):  # it looks the name up only when the erasure has ended
        two.commit()
    one.record([[StoredEvent("carl", "book", 1)]])
    one.commit()
    assert [event.item_id for event in store.page("carl", 9).events] == ["book"]
    assert store.item_ids() == ["", "book"]


def test_a_deadlock_is_tried_again_and_no_call_fails(store: PostgresEventStore, url: str) -> None:
    store.record([StoredEvent(user, "book", 1) for user in ("anna", "ben")]).result(5)
    lock = "SELECT 1 FROM honeyguide.users WHERE name = %s FOR UPDATE"
    with psycopg.connect(url) as stranger:
        stranger.execute("SET deadlock_timeout = '10s'")  # it is the store's transaction that PostgreSQL ends
        stranger.execute(lock, ("ben",))
        call = store.record([StoredEvent("anna", "pen", 2), StoredEvent("ben", "pen", 2)])
        while not stranger.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone():
            sleep(0.01)
            stranger.execute("SELECT pg_stat_clear_snapshot()")
        stranger.execute(lock, ("anna",))  # granted once the other is ended
        stranger.commit()
    assert call.result(10) == RecordCounts(2, 0)
    assert [len(history) for history in store.histories(["anna", "ben"])] == [2, 2]
    assert store.problem == ""
