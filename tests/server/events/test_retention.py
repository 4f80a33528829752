"""What is too old or too many goes by itself, and nothing else does (`retention.py`)."""

import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest

from honeyguide.sdk.errors import OverCapacity
from honeyguide.server.events import retention
from honeyguide.server.events.opening import open_store
from honeyguide.server.events.retention import KeepLimits, Retention
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent
from honeyguide.server.settings import make_settings

DAY = 86_400_000
NOW = 100 * DAY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_STEP_SECONDS", 0.001)


def fill(store: SqliteEventStore) -> None:
    store.record([StoredEvent("old", f"only-old-{i}", 50 * DAY + i, "old-type") for i in range(40)]).result()
    store.record([StoredEvent("both", f"item-{i}", (90 + i) * DAY) for i in range(10)]).result()
    store.record([StoredEvent("new", f"item-{i}", 99 * DAY + i) for i in range(40)]).result()


def expire(store: SqliteEventStore, keep: KeepLimits) -> None:
    """Goes round once."""
    rounds = Retention(store, KeepLimits(), lambda: NOW / 1000)
    rounds._limits = keep
    rounds._go_round()
    assert rounds._go_round() == 0


def test_events_beyond_their_days_are_gone_with_their_users_and_names(path: Path) -> None:
    with SqliteEventStore(path) as store:
        fill(store)
        assert [len(h) for h in store.histories(["old", "both", "new"])] == [40, 10, 40]
        expire(store, KeepLimits(days=7.5))
        assert [len(h) for h in store.histories(["old", "both", "new"])] == [0, 7, 40]
        assert store.user_page(9).user_ids == ["both", "new"]
        assert not any(b"old" in file.read_bytes() for file in path.parent.iterdir())


def test_of_each_user_the_newest_are_kept(path: Path) -> None:
    with SqliteEventStore(path) as store:
        fill(store)
        expire(store, KeepLimits(per_user=10))
        assert [len(h) for h in store.histories(["old", "both", "new"])] == [10, 10, 10]
        assert [event.item_id for event in store.page("new", 2).events] == ["item-39", "item-38"]
        assert store.history("new").times_ms.min() == 99 * DAY + 30


def test_both_limits_hold(path: Path) -> None:
    with SqliteEventStore(path) as store:
        fill(store)
        expire(store, KeepLimits(days=7.5, per_user=5))
        assert [len(h) for h in store.histories(["old", "both", "new"])] == [0, 5, 5]


def test_steps_are_small_and_let_others_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_EVENTS", 7)
    monkeypatch.setattr(retention, "_USERS", 1)
    with SqliteEventStore(path) as store:
        fill(store)
        sizes = []
        steps = store.expire

        def step(*given: object) -> int:
            sizes.append(steps(*given))  # type: ignore[arg-type]  # passed on as they come
            if len(sizes) == 2:
                raise OverCapacity("full", 0.1)
            return sizes[-1]

        monkeypatch.setattr(store, "expire", step)
        expire(store, KeepLimits(days=7.5))
        assert max(sizes) == 7
        assert [len(h) for h in store.histories(["old", "both", "new"])] == [0, 7, 40]


def test_what_is_recorded_meanwhile_is_not_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_EVENTS", 5)
    with SqliteEventStore(path) as store:
        fill(store)
        thread = threading.Thread(target=expire, args=(store, KeepLimits(days=7.5)))
        thread.start()
        for i in range(50):
            store.record([StoredEvent("old", f"only-old-{i}", NOW + i)]).result()
        thread.join()
        assert len(store.history("old")) == 50
        names = store.item_ids()
        assert [names[number] for number in store.history("old").items] == [f"only-old-{i}" for i in range(50)]


def until(holds: Callable[[], bool]) -> bool:
    end = monotonic() + 5
    while not holds() and monotonic() < end:
        sleep(0.02)
    return holds()


def test_a_store_that_is_opened_with_limits_keeps_them(path: Path) -> None:
    with SqliteEventStore(path) as store:
        fill(store)
    store = open_store(make_settings(events=path, events_keep_days=1, events_keep_per_user=3))
    try:
        assert until(lambda: store.user_page(9).user_ids == [])  # all of 1970
    finally:
        store.close()
