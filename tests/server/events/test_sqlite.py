"""Tests of the event store in a file, beside what every store promises: durability, cache, deletion, full disks.

The tokens of its pages are those of `page_tokens.py`.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.sdk.errors import ConfigError, InvalidArgument, OverCapacity, Unavailable
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import RecordCounts, StoredEvent, StoredHistory
from honeyguide.server.events.tables import EventTables
from honeyguide.server.events.writer import Write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteEventStore]:
    with SqliteEventStore(path) as opened:
        yield opened


def items_of(store: SqliteEventStore, user: str) -> list[str]:
    names = store.item_ids()
    return [names[number] for number in store.history(user).items]


def block(store: SqliteEventStore) -> tuple[threading.Event, Future[None]]:
    """Keeps the writer busy until the returned event is set."""
    entered, release = threading.Event(), threading.Event()

    def work(_tables: EventTables) -> None:
        entered.set()
        release.wait(10)

    blocked = store._writer.submit(Write(work=work))
    assert entered.wait(10)
    return release, blocked


def test_concurrent_callers_share_transactions(store: SqliteEventStore) -> None:
    release, blocked = block(store)
    calls = [store.record([StoredEvent(f"user-{i}", "book", i)]) for i in range(200)]
    before = store.transactions
    release.set()
    wait([blocked, *calls], 10)
    assert store.transactions - before == 2  # the blocking call's, and one for all the 200
    assert sum(store.count(f"user-{i}") for i in range(200)) == 200


def test_the_next_read_knows_what_was_acknowledged(store: SqliteEventStore) -> None:
    def act(name: str) -> None:
        for i in range(30):
            store.record([StoredEvent(name, f"item-{i}", i)]).result()
            assert len(store.history(name)) == i + 1

    stop = threading.Event()

    def read_always() -> None:  # tries to put stale histories into the cache
        while not stop.is_set():
            store.histories([f"user-{i}" for i in range(8)])

    readers = [threading.Thread(target=read_always) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        with ThreadPoolExecutor(8) as users:
            list(users.map(act, [f"user-{i}" for i in range(8)]))
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def test_a_cached_history_is_the_same_object_until_the_user_acts(store: SqliteEventStore) -> None:
    store.record([StoredEvent("anna", "book", 1), StoredEvent("ben", "book", 1)]).result()
    anna, ben = store.histories(["anna", "ben"])
    store.record([StoredEvent("anna", "pen", 2)]).result()
    assert store.history("ben") is ben
    assert store.history("anna") is not anna


def test_what_another_process_wrote_is_known_to_the_next_read(path: Path) -> None:
    with SqliteEventStore(path) as mine, SqliteEventStore(path) as other:
        for i in range(20):
            other.record([StoredEvent("anna", f"other-{i}", 2 * i)]).result()
            assert len(mine.history("anna")) == 2 * i + 1
            mine.record([StoredEvent("anna", f"mine-{i}", 2 * i + 1)]).result()
            assert len(other.history("anna")) == 2 * i + 2
        assert items_of(mine, "anna") == items_of(other, "anna")
        assert other.delete_user("anna").result() == 40
        assert len(mine.history("anna")) == 0


def test_a_write_waits_for_another_process_and_no_longer_than_it_may(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteEventStore(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = store.record([StoredEvent("anna", "book", 1)])
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        other.execute("COMMIT")
        assert waiting.result(5) == RecordCounts(1, 0)
        monkeypatch.setattr("honeyguide.server.events.event_file.BUSY_SECONDS", 0.02)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            store.record([StoredEvent("anna", "pen", 1)]).result()
        other.close()
        assert store.record([StoredEvent("anna", "pen", 1)]).result() == RecordCounts(1, 0)
        assert items_of(store, "anna") == ["book", "pen"]


def test_a_fault_after_the_commit_reaches_its_caller_and_the_writer_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteEventStore(path) as store:
        with monkeypatch.context() as broken:
            broken.setattr(store._writer._cache, "apply", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                store.record([StoredEvent("anna", "book", 1)]).result(5)
        assert store.record([StoredEvent("anna", "pen", 2)]).result(5) == RecordCounts(1, 0)
        assert items_of(store, "anna") == ["book", "pen"]


def test_the_cache_stays_within_its_bound(path: Path) -> None:
    with SqliteEventStore(path, cache_events=100) as store:
        store.record([StoredEvent(f"user-{u}", f"item-{i}", i) for u in range(20) for i in range(10)]).result()
        for u in range(20):
            assert len(store.history(f"user-{u}")) == 10
        assert len(store._writer._cache) == 3  # an entry of 10 events costs 26
        store.record([StoredEvent("long", "book", i) for i in range(500)]).result()
        assert len(store.history("long")) == 500
        assert len(store._writer._cache) == 3


events = st.builds(
    StoredEvent,
    user_id=st.sampled_from(["anna", "ben", "кот"]),
    item_id=st.sampled_from(["a", "b", "c d", "é"]),
    time_ms=st.integers(0, 6),
    event_type=st.sampled_from(["", "view", "buy"]),
    dwell_seconds=st.none(),
    clicks=st.none(),
    quantity=st.none(),
    value=st.one_of(st.none(), st.floats(-5, 5, width=32)),
    request_id=st.just(""),
    event_id=st.sampled_from(["", "", "x", "y"]),
    now=st.just(False),
)
steps = st.lists(st.one_of(st.lists(events, min_size=1, max_size=6), st.sampled_from(["anna", "ben"])), max_size=12)


@settings(max_examples=25, deadline=None)
@given(steps)
def test_histories_equal_a_naive_replay(steps: list[list[StoredEvent] | str]) -> None:
    def play(store: SqliteEventStore) -> None:
        replay: list[StoredEvent] = []
        for step in steps:
            if isinstance(step, str):
                gone = [e for e in replay if e.user_id == step]
                replay = [e for e in replay if e.user_id != step]
                assert store.delete_user(step).result() == len(gone)
            else:
                known = {(e.user_id, e.event_id) for e in replay if e.event_id}
                fresh = []
                for event in step:
                    if (event.user_id, event.event_id) not in known:
                        fresh.append(event)
                    if event.event_id:
                        known.add((event.user_id, event.event_id))
                replay += fresh
                assert store.record(step).result() == RecordCounts(len(fresh), len(step) - len(fresh))
            for user in ("anna", "ben", "кот"):
                expected = sorted((e for e in replay if e.user_id == user), key=lambda e: e.time_ms)
                assert_equal(store, store.history(user), expected)
                assert store.count(user) == len(expected)
                assert store.page(user, 1000).events == expected[::-1]

    with tempfile.TemporaryDirectory() as folder, SqliteEventStore(Path(folder) / "events.db") as store:
        play(store)


def assert_equal(store: SqliteEventStore, history: StoredHistory, expected: list[StoredEvent]) -> None:
    names, types = store.item_ids(), store.event_types()
    assert [names[i] for i in history.items] == [e.item_id for e in expected]
    assert [types[i] for i in history.event_types] == [e.event_type for e in expected]
    assert history.times_ms.tolist() == [e.time_ms for e in expected]
    known = [np.nan if e.value is None else e.value for e in expected]
    np.testing.assert_array_equal(history.value, np.array(known, np.float32))


def test_a_page_that_ends_with_the_last_event_has_no_token(store: SqliteEventStore) -> None:
    store.record([StoredEvent("anna", f"item-{i}", i) for i in range(4)]).result()
    first = store.page("anna", 2)
    assert first.next_token
    assert store.page("anna", 2, first.next_token).next_token == ""


@pytest.mark.parametrize("token", ["x", "", "AAAA", "ünï", "A" * 32])
def test_a_token_of_another_user_or_none_of_ours_is_refused(store: SqliteEventStore, token: str) -> None:
    store.record([StoredEvent(user, "book", i) for i in range(3) for user in ("anna", "ben")]).result()
    with pytest.raises(InvalidArgument, match=r"page_token is .*; allowed: the next_page_token"):
        store.page("anna", 1, token or store.page("ben", 1).next_token)


def test_a_deleted_user_leaves_no_byte_behind(store: SqliteEventStore, path: Path) -> None:
    secret = "forget-me-please"
    store.record([StoredEvent(secret, f"item-{i}", i, event_id=f"{secret}-{i}") for i in range(300)]).result()
    store.record([StoredEvent("ben", f"item-{i}", i) for i in range(300)]).result()
    assert len(store.history(secret)) == 300
    assert any(secret.encode() in file.read_bytes() for file in path.parent.iterdir())
    assert store.delete_user(secret).result() == 300
    assert not any(secret.encode() in file.read_bytes() for file in path.parent.iterdir())
    assert (len(store.history(secret)), store.count(secret), store.count("ben")) == (0, 0, 300)
    assert store.delete_user(secret).result() == 0
    assert store.record([StoredEvent(secret, "item-1", 1, event_id=f"{secret}-1")]).result() == RecordCounts(1, 0)


def test_of_one_call_an_event_of_now_comes_after_those_before_it(store: SqliteEventStore) -> None:
    store.record([StoredEvent("anna", "ahead", 900), StoredEvent("anna", "now", 500, now=True)]).result()
    assert items_of(store, "anna") == ["ahead", "now"]


_VICTIM = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent
store = SqliteEventStore(Path(sys.argv[1]))
def call(c):
    for i in range(1_000_000):
        store.record([StoredEvent(f"user-{c}", f"item-{i}", i), StoredEvent(f"user-{c}", f"also-{i}", i)]).result()
        sys.stdout.write(f"{c} {i}\\n")
        sys.stdout.flush()
with ThreadPoolExecutor(4) as callers:
    list(callers.map(call, range(4)))
"""


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _VICTIM, str(path)], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout
        lines = [victim.stdout.readline() for _ in range(200)]
        os.kill(victim.pid, signal.SIGKILL)
        lines += victim.stdout.readlines()
    acknowledged = [tuple(map(int, line.split())) for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= 200
    with SqliteEventStore(path) as store:
        for caller in range(4):
            last = max(i for c, i in acknowledged if c == caller)
            found = items_of(store, f"user-{caller}")
            whole = [name for i in range(len(found) // 2) for name in (f"item-{i}", f"also-{i}")]
            assert found == whole  # a call is stored whole or not at all
            assert len(found) >= 2 * (last + 1)


def test_the_writer_waits_for_the_disk(store: SqliteEventStore) -> None:
    assert store._writer._tables._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert store._writer._tables._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._writer._tables._db.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_a_full_disk_fails_the_call_and_stores_nothing_of_it(store: SqliteEventStore) -> None:
    store.record([StoredEvent("anna", "book", 1)]).result()
    pages = store._writer._tables._db.execute("PRAGMA page_count").fetchone()[0]
    store._writer._tables._db.execute(f"PRAGMA max_page_count = {pages}")
    much = [StoredEvent("anna", f"item-{i}-" + "x" * 200, i) for i in range(500)]
    with pytest.raises(Unavailable, match=r"full.*none of them was"):
        store.record(much).result()
    assert items_of(store, "anna") == ["book"]
    store._writer._tables._db.execute("PRAGMA max_page_count = 1000000")
    assert store.record(much).result() == RecordCounts(500, 0)
    assert len(store.history("anna")) == 501


def test_a_log_that_cannot_be_emptied_is_emptied_after_the_next_write(store: SqliteEventStore) -> None:
    class Full:
        """Is a connection whose checkpoints fail."""

        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if "wal_checkpoint" in statement:
                raise sqlite3.OperationalError("disk I/O error")
            return self._connection.execute(statement, *values)

    store.record([StoredEvent("anna", "book", 1)]).result()
    sound = store._writer._tables._db
    store._writer._tables._db = Full(sound)  # type: ignore[assignment]  # all that is used of one
    assert store.delete_user("anna").result(10) == 1
    assert store._writer._scrub
    store._writer._tables._db = sound
    assert store.record([StoredEvent("ben", "book", 1)]).result(10) == RecordCounts(1, 0)
    assert not store._writer._scrub


def test_calls_above_capacity_are_refused_at_once(path: Path) -> None:
    with SqliteEventStore(path, max_queued_events=10) as store:
        release, _ = block(store)
        calls = [store.record([StoredEvent("anna", "book", i)] * 5) for i in range(2)]
        with pytest.raises(OverCapacity) as refused:
            store.record([StoredEvent("anna", "pen", 3)])
        assert refused.value.retry_after > 0
        release.set()
        assert [call.result() for call in calls] == [RecordCounts(5, 0)] * 2
        assert items_of(store, "anna") == ["book"] * 10


def test_a_cancelled_call_that_still_waits_stores_nothing(store: SqliteEventStore) -> None:
    release, _ = block(store)
    dropped = store.record([StoredEvent("anna", "dropped", 1)])
    kept = store.record([StoredEvent("anna", "kept", 1)])
    assert dropped.cancel()
    release.set()
    kept.result()
    assert items_of(store, "anna") == ["kept"]


def test_closing_waits_for_what_is_queued_and_refuses_the_rest(path: Path) -> None:
    store = SqliteEventStore(path)
    calls = [store.record([StoredEvent("anna", "book", i)]) for i in range(100)]
    store.close()
    assert sum(call.result(0).accepted for call in calls) == 100
    with pytest.raises(Unavailable, match="closed"):
        store.record([StoredEvent("anna", "book", 1)]).result()
    store.close()
    assert [file.name for file in path.parent.iterdir()] == ["events.db"]  # no log is left behind


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()


def _newer(path: Path) -> None:
    SqliteEventStore(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9")
    db.close()


def _truncated(path: Path) -> None:
    with SqliteEventStore(path) as store:
        store.import_events(pl.DataFrame({"user_id": ["anna"] * 5000, "item_id": ["i"] * 5000, "time_ms": range(5000)}))
    os.truncate(path, path.stat().st_size // 2)


def _garbled(path: Path) -> None:
    with SqliteEventStore(path) as store:
        store.import_events(pl.DataFrame({"user_id": ["anna"] * 5000, "item_id": ["i"] * 5000, "time_ms": range(5000)}))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4096] = b"\xff" * 4096
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"not a database, " * 100), "file is not a database"),
        (lambda path: path.mkdir(), "cannot be opened"),
        (_foreign, "a database of another program"),
        (_newer, "of format 9, while this honeyguide reads formats 1 to 2"),
        (_truncated, "corrupt|no sound event store"),
        (_garbled, "corrupt|no sound event store"),
    ],
)
def test_a_foreign_or_corrupt_file_is_refused_by_name(path: Path, spoil, message: str) -> None:
    spoil(path)
    with pytest.raises(ConfigError, match=message) as caught:
        SqliteEventStore(path)
    assert str(path) in caught.value.message
    assert "setting `events`" in caught.value.message


def test_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        SqliteEventStore(tmp_path / "missing" / "events.db")


def test_an_import_equals_recording_the_same_events(path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user_id": ["anna", "ben", "anna", "anna"],
            "item_id": ["pen", "book", "book", "pen"],
            "time_ms": [5, 1, 2, 5],
            "event_type": ["view", "", "buy", "buy"],
            "value": pl.Series([1.5, float("nan"), None, 2.0], dtype=pl.Float32),
            "event_id": ["d:0", "d:1", "d:2", "d:3"],
        }
    )
    recorded = [
        StoredEvent("anna", "pen", 5, "view", value=1.5, event_id="d:0"),
        StoredEvent("ben", "book", 1, event_id="d:1"),
        StoredEvent("anna", "book", 2, "buy", event_id="d:2"),
        StoredEvent("anna", "pen", 5, "buy", value=2.0, event_id="d:3"),
    ]
    with SqliteEventStore(path) as imported, SqliteEventStore(path.with_name("other.db")) as other:
        assert imported.import_events(frame) == RecordCounts(4, 0)
        other.record(recorded).result()
        for user in ("anna", "ben"):
            assert imported.page(user, 10).events == other.page(user, 10).events
        assert imported.import_events(frame) == RecordCounts(0, 4)
        assert imported.import_events(frame.head(0)) == RecordCounts(0, 0)
        assert imported.count("anna") == 3


def test_an_import_reaches_a_cached_history(store: SqliteEventStore) -> None:
    store.record([StoredEvent("anna", "book", 1)]).result()
    assert len(store.history("anna")) == 1
    store.import_events(pl.DataFrame({"user_id": ["anna"], "item_id": ["pen"], "time_ms": [0]}))
    assert items_of(store, "anna") == ["pen", "book"]


def test_a_hundred_thousand_events_import_while_others_record(store: SqliteEventStore) -> None:
    count = 100_000
    frame = pl.DataFrame(
        {
            "user_id": [f"user-{i // 50}" for i in range(count)],
            "item_id": [f"item-{i % 997}" for i in range(count)],
            "time_ms": range(count),
        }
    )

    def bring_in() -> None:
        for part in frame.iter_slices(20_000):
            store.import_events(part)

    with ThreadPoolExecutor(1) as importer:
        task = importer.submit(bring_in)
        own = 0
        while not task.done():
            own += store.record([StoredEvent("anna", "book", 1)]).result().accepted
        task.result()
    assert own > 0
    assert len(store.item_ids()) == 998
    assert (store.count("user-0"), store.count("user-1999"), store.count("anna")) == (50, 50, own)


def test_seen_items_count_in_the_bound_of_the_cache(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honeyguide.server.events.snapshot.MAX_HISTORY_EVENTS", 10)
    with SqliteEventStore(path, cache_events=150) as store:
        store.record([StoredEvent(user, f"item-{i}", i) for user in ("anna", "ben", "kit") for i in range(80)]).result()
        for user in ("anna", "ben", "kit"):
            assert store.history(user).seen is not None
        assert len(store._writer._cache) == 2  # an entry of 10 events and 80 items costs 66
