"""A database that goes and comes back, and one that takes no writes (`connection.py`, `cache.py`)."""

import subprocess
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep

import numpy as np
import psycopg
import pytest
from postgres_server import PostgresServer

from honeyguide.sdk.errors import ConfigError, Unavailable
from honeyguide.server.events.opening import open_store
from honeyguide.server.events.postgres.cache import EpochCache
from honeyguide.server.events.postgres.connection import hide_password, open_database
from honeyguide.server.events.postgres.store import PostgresEventStore
from honeyguide.server.events.snapshot import history_of
from honeyguide.server.events.store import RecordCounts, StoredEvent
from honeyguide.server.settings import make_settings

BOOK = StoredEvent("anna", "book", 1)


def until(holds: Callable[[], bool], seconds: float = 10) -> bool:
    end = monotonic() + seconds
    while not holds() and monotonic() < end:
        sleep(0.02)
    return holds()


def test_a_database_that_was_restarted_is_found_again_without_a_failed_call(
    postgres: PostgresServer, store: PostgresEventStore
) -> None:
    store.record([BOOK]).result(5)
    assert len(store.history("anna")) == 1
    postgres.stop()
    postgres.start()
    assert len(store.history("anna")) == 1
    assert store.record([BOOK]).result(10) == RecordCounts(1, 0)
    assert len(store.history("anna")) == 2


def test_while_there_is_no_database_nothing_is_acknowledged_and_health_says_so(
    postgres: PostgresServer, store: PostgresEventStore
) -> None:
    store.record([BOOK]).result(5)
    postgres.stop()
    try:
        with pytest.raises(Unavailable, match="could not be stored"):
            store.record([BOOK]).result(20)
        assert store.histories(["anna", "ben"])[1].unreadable
        with pytest.raises(Unavailable, match="could not be read"):
            store.page("anna", 5)
        assert store.problem
    finally:
        postgres.start()
    assert until(lambda: len(store.history("anna")) == 1)
    assert until(lambda: store.problem == "")  # found out without a write of anybody's
    assert store.record([BOOK]).result(5) == RecordCounts(1, 0)


def test_a_database_that_goes_unnoticed_is_noticed_while_nobody_writes(
    postgres: PostgresServer, store: PostgresEventStore
) -> None:
    postgres.stop()
    try:
        assert until(lambda: store.problem != "")
    finally:
        postgres.start()
    assert until(lambda: store.problem == "")


def test_a_database_that_takes_no_writes_says_so_and_is_read(url: str, store: PostgresEventStore) -> None:
    store.record([BOOK]).result(5)

    def read_only(value: str) -> None:
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(f"ALTER DATABASE events SET default_transaction_read_only = {value}")
            db.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE pid <> pg_backend_pid() AND datname = 'events'"""
            )

    read_only("on")
    with pytest.raises(Unavailable, match="read-only"):
        store.record([BOOK]).result(10)
    assert "read-only" in store.problem
    assert len(store.history("anna")) == 1
    with psycopg.connect(url) as db:
        db.execute("SET TRANSACTION READ WRITE")
        db.execute("ALTER DATABASE events SET default_transaction_read_only = off")
    assert until(lambda: store.problem == "")
    assert store.record([BOOK]).result(5) == RecordCounts(1, 0)


_WRITER = """
import sys
from honeyguide.server.events.postgres.store import PostgresEventStore
from honeyguide.server.events.store import StoredEvent
store = PostgresEventStore(sys.argv[1])
for i in range(1_000_000):
    store.record([StoredEvent("anna", f"item-{i}", i), StoredEvent("anna", f"also-{i}", i)]).result()
    sys.stdout.write(f"{i}\\n")
    sys.stdout.flush()
"""


def test_what_was_acknowledged_survives_a_kill_of_the_server(url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout
        lines = [victim.stdout.readline() for _ in range(50)]
        victim.kill()
        lines += victim.stdout.readlines()
    last = max(int(line) for line in lines if line.endswith("\n"))
    with PostgresEventStore(url) as store:
        names = store.item_ids()
        found = [names[number] for number in store.history("anna").items]
    assert found == [name for i in range(len(found) // 2) for name in (f"item-{i}", f"also-{i}")]
    assert len(found) >= 2 * (last + 1)


def test_two_servers_that_open_an_empty_database_at_once_make_its_tables_once(url: str) -> None:
    errors: list[Exception] = []

    def open_it() -> None:
        try:
            open_database(url)
        except ConfigError as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_database_that_is_not_there_is_refused_without_its_password(postgres: PostgresServer) -> None:
    url = f"postgresql://honeyguide:secret@/none?host={postgres.folder}"
    with pytest.raises(ConfigError, match=r"'postgresql://.*/none', which cannot be opened") as refused:
        open_store(make_settings(events=url))
    assert "secret" not in refused.value.message
    assert hide_password("postgresql://u:secret@db1,db2:5433/x") == "postgresql://db1,db2:5433/x"


def test_the_setting_opens_a_database(url: str) -> None:
    store = open_store(make_settings(events=url))
    try:
        store.record([BOOK]).result(5)
        assert store.count("anna") == 1
    finally:
        store.close()


def test_a_cached_history_counts_for_its_epoch_alone_and_the_cache_stays_within_its_bound() -> None:
    cache = EpochCache(100)
    history = history_of(np.zeros((10, 7)))
    for user in range(10):
        cache.put(f"user-{user}", 5, history)
    assert len(cache) == 3  # an entry of 10 events costs 26
    assert cache.get("user-9", 5) is history
    assert cache.get("user-9", 6) is None
    assert cache.get("user-0", 5) is None
    cache.put("long", 1, history_of(np.zeros((500, 7))))
    assert cache.get("long", 1) is None
