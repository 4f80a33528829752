"""What every store of events promises, as tests: whoever has the fixtures ``store`` and ``other`` imports them all.

``store`` is an empty one, ``other`` opens the same once more, as another server would.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import pytest

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.server.events.retention import KeepLimits, Retention
from honeyguide.server.events.store import RecordCounts, StoredEvent

DAY = 86_400_000


def items_of(store: Any, user: str) -> list[str]:
    names = store.item_ids()
    return [names[number] for number in store.history(user).items]


def test_an_event_is_read_back_as_it_was_recorded(store: Any) -> None:
    event = StoredEvent("anna", "book", 1_700_000_000_123, "view", 1.5, 2.0, 3.0, -4.5, "request", "id-1")
    assert store.record([event]).result(5) == RecordCounts(accepted=1, duplicates=0)
    assert store.page("anna", 10).events == [event]
    history = store.history("anna")
    assert (len(history), store.item_ids(), store.event_types()) == (1, ["book"], ["", "view"])
    assert (history.items[0], history.times_ms[0], history.event_types[0]) == (0, 1_700_000_000_123, 1)
    assert (history.dwell_seconds[0], history.clicks[0], history.quantity[0], history.value[0]) == (1.5, 2, 3, -4.5)
    with pytest.raises(ValueError, match="read-only"):
        history.items[0] = 7


def test_what_is_not_known_is_nan_in_a_history_and_none_in_a_page(store: Any) -> None:
    store.record([StoredEvent("anna", "book", 1)]).result(5)
    history = store.history("anna")
    assert np.isnan([history.dwell_seconds, history.clicks, history.quantity, history.value]).all()
    assert store.page("anna", 1).events == [StoredEvent("anna", "book", 1)]


def test_an_unknown_user_has_an_empty_history(store: Any) -> None:
    history = store.history("nobody")
    assert len(history) == 0
    assert (history.items.dtype, history.event_types.dtype, history.value.dtype) == (np.int64, np.int32, np.float32)
    assert (store.count("nobody"), store.page("nobody", 5).events, store.problem) == (0, [], "")
    assert len(store.history("no\0body")) == 0


def test_history_is_ordered_by_time_then_by_arrival(store: Any) -> None:
    store.record([StoredEvent("anna", "late", 30), StoredEvent("anna", "first", 10)]).result(5)
    store.record([StoredEvent("anna", "second of the same time", 10), StoredEvent("anna", "between", 20)]).result(5)
    assert items_of(store, "anna") == ["first", "second of the same time", "between", "late"]


def test_an_event_of_now_is_not_before_the_users_newest(store: Any) -> None:
    store.record([StoredEvent("anna", "before", 10 * DAY, now=True), StoredEvent("ben", "before", 9 * DAY)]).result(5)
    store.record([StoredEvent(user, "after", 7 * DAY, now=True) for user in ("anna", "anna", "ben", "new")]).result(5)
    store.record([StoredEvent("anna", "late", 7 * DAY)]).result(5)
    assert items_of(store, "anna") == ["late", "before", "after", "after"]
    assert store.history("ben").times_ms.tolist() == [9 * DAY, 9 * DAY]
    assert store.history("new").times_ms.tolist() == [7 * DAY]


def test_an_event_id_is_stored_once_for_its_user(store: Any, other: Any) -> None:
    event = StoredEvent("anna", "book", 1, event_id="x")
    assert store.record([event, event]).result(5) == RecordCounts(1, 1)
    assert other.record([event, StoredEvent("anna", "pen", 2)]).result(5) == RecordCounts(1, 1)
    assert store.record([StoredEvent("ben", "book", 1, event_id="x")]).result(5) == RecordCounts(1, 0)
    assert items_of(store, "anna") == ["book", "pen"]


def test_retries_by_two_servers_at_once_store_an_event_once(store: Any, other: Any) -> None:
    event = StoredEvent("anna", "book", 1, event_id="x")
    calls = [server.record([event]) for _ in range(25) for server in (store, other)]
    answers = [call.result(10) for call in calls]
    assert (sum(a.accepted for a in answers), sum(a.duplicates for a in answers)) == (1, 49)


def test_the_next_read_of_either_server_knows_what_was_acknowledged(store: Any, other: Any) -> None:
    def act(user: str) -> None:
        for i in range(20):
            (store, other)[i % 3 == 0].record([StoredEvent(user, f"item-{i}", 100 - i % 5)] * 2).result(10)
            for reader in (store, other):
                assert len(reader.history(user)) == 2 * (i + 1)

    users = [f"user-{u}" for u in range(4)]
    stop = threading.Event()

    def read_always() -> None:  # tries to put stale histories into the caches
        while not stop.is_set():
            store.histories(users)
            other.histories(users)

    reader = threading.Thread(target=read_always)
    reader.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(act, users))
    finally:
        stop.set()
        reader.join()
    for user in users:
        kept = [event.item_id for event in reversed(store.page(user, 1000).events)]
        assert items_of(store, user) == items_of(other, user) == kept


def test_numbers_are_without_gaps_and_the_same_for_both(store: Any, other: Any) -> None:
    with ThreadPoolExecutor(8) as threads:
        calls = [
            threads.submit(
                server.record, [StoredEvent(f"user-{i % 7}", f"item-{(i * 7 + k) % 90}", i) for k in range(9)]
            )
            for i in range(30)
            for server in (store, other)
        ]
        assert sum(call.result(20).result(20).accepted for call in calls) == 540
    names = store.item_ids()
    assert (len(names), sorted(names)) == (90, sorted(f"item-{i}" for i in range(90)))
    assert other.item_ids(40) == names[40:]


def test_pages_hold_every_event_once_while_others_are_recorded(store: Any) -> None:
    store.record([StoredEvent("anna", f"item-{i}", i // 3) for i in range(50)]).result(5)
    seen: list[str] = []
    token = ""
    while True:
        page = store.page("anna", 7, token)
        seen += [e.item_id for e in page.events]
        store.record([StoredEvent("anna", "newer", 1000)]).result(5)
        if not (token := page.next_token):
            break
    assert seen == [f"item-{i}" for i in reversed(range(50))]
    with pytest.raises(InvalidArgument, match="page_token"):
        store.page("ben", 7, store.page("anna", 7).next_token)


def test_users_come_in_the_order_of_their_bytes(store: Any) -> None:
    users = ["кот", "Zoe", "anna", "a", "é", "10", "9"]
    store.record([StoredEvent(user, "book", 1) for user in users]).result(5)
    first = store.user_page(3)
    rest = store.user_page(9, first.next_token)
    assert [*first.user_ids, *rest.user_ids] == sorted(users, key=str.encode)
    assert rest.next_token == ""


def test_a_deleted_user_is_gone_with_the_names_nobody_else_has(store: Any, other: Any) -> None:
    store.record([StoredEvent("anna", f"item-{i}", i, "view", event_id=f"{i}") for i in range(9)]).result(5)
    store.record([StoredEvent("anna", "secret", 1, "secret"), StoredEvent("ben", "item-1", 1, "view")]).result(5)
    assert (len(store.history("anna")), len(other.history("anna"))) == (10, 10)
    assert other.delete_user("anna").result(10) == 10
    assert [len(server.history("anna")) for server in (store, other)] == [0, 0]
    assert store.item_ids() == [""] + ["item-1"] + [""] * 8
    assert store.event_types() == ["", "view", ""]
    assert (store.user_page(9).user_ids, store.delete_user("anna").result(10)) == (["ben"], 0)
    again = StoredEvent("anna", "secret", 1, "secret", event_id="1")
    assert store.record([again]).result(5) == RecordCounts(1, 0)
    assert (items_of(other, "anna"), other.item_ids()[10]) == (["secret"], "secret")


def test_names_stay_that_are_used_while_a_user_goes(store: Any, other: Any) -> None:
    def act(n: int) -> None:
        server = (store, other)[n % 2]
        server.record([StoredEvent(f"gone-{n}", f"item-{i}", i) for i in range(5)]).result(10)
        server.delete_user(f"gone-{n}").result(20)
        server.record([StoredEvent("anna", f"item-{n % 5}", n)]).result(10)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(act, range(24)))
    assert items_of(store, "anna") == [event.item_id for event in reversed(store.page("anna", 99).events)]
    assert sorted(items_of(store, "anna")) == sorted(f"item-{n % 5}" for n in range(24))


def test_a_user_moves_with_all_events(store: Any, other: Any) -> None:
    store.record([StoredEvent("old", "book", 1, event_id="x"), StoredEvent("old", "pen", 2)]).result(5)
    assert len(other.history("old")) == 2
    assert store.move_users([("old", "new"), ("nobody", "new")]).result(5) == 1
    assert [len(h) for h in other.histories(["old", "new"])] == [0, 2]
    store.record([StoredEvent("old", "book", 5, event_id="x"), StoredEvent("old", "cup", 6)]).result(5)
    assert store.move_users([("old", "new")]).result(5) == 1
    assert items_of(other, "new") == ["book", "pen", "cup"]
    assert store.user_page(9).user_ids == ["new"]


def test_what_is_too_old_or_too_many_goes(store: Any, other: Any) -> None:
    store.record([StoredEvent("old", f"old-{i}", 50 * DAY + i) for i in range(40)]).result(5)
    store.record([StoredEvent("both", f"item-{i}", (90 + i) * DAY) for i in range(10)]).result(5)
    assert [len(h) for h in other.histories(["old", "both"])] == [40, 10]
    rounds = Retention(store, KeepLimits(), lambda: 100 * DAY / 1000)
    for keep, left in ((KeepLimits(days=7.5), 7), (KeepLimits(per_user=5), 5)):
        rounds._limits = keep
        rounds._go_round()
        assert rounds._go_round() == 0
        assert [len(h) for h in other.histories(["old", "both"])] == [0, left]
    assert (store.user_page(9).user_ids, items_of(store, "both")) == (["both"], [f"item-{i}" for i in range(5, 10)])


def test_an_import_equals_recording(store: Any) -> None:
    frame = pl.DataFrame(
        {
            "user_id": ["anna", "anna"],
            "item_id": ["pen", "book"],
            "time_ms": [5, 2],
            "event_type": ["view", ""],
            "value": pl.Series([1.5, float("nan")], dtype=pl.Float32),
            "event_id": ["d:0", "d:1"],
            "request_id": [None, "r"],
        }
    )
    assert store.import_events(frame) == RecordCounts(2, 0)
    expected = [
        StoredEvent("anna", "pen", 5, "view", value=1.5, event_id="d:0"),
        StoredEvent("anna", "book", 2, request_id="r", event_id="d:1"),
    ]
    assert store.page("anna", 10).events == expected
    assert store.import_events(frame) == RecordCounts(0, 2)
    assert store.import_events(frame.head(0)) == RecordCounts(0, 0)


def test_a_long_history_is_its_newest_events_and_all_distinct_items(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("snapshot", "store"):
        monkeypatch.setattr(f"honeyguide.server.events.{module}.MAX_HISTORY_EVENTS", 10)
        monkeypatch.setattr(f"honeyguide.server.events.{module}.MAX_SEEN_ITEMS", 6)
    store.record([StoredEvent("anna", f"item-{i % 5}", i) for i in range(10)]).result(5)
    whole = store.history("anna")
    assert (len(whole), whole.count, whole.seen, whole.truncated) == (10, 10, None, False)
    store.record([StoredEvent("anna", "new", 10)]).result(5)
    assert items_of(store, "anna") == [f"item-{i % 5}" for i in range(1, 10)] + ["new"]
    long = store.history("anna")
    assert (long.count, len(long.seen), long.truncated) == (11, 6, False)
    store.record([StoredEvent("anna", "newer", 11), StoredEvent("anna", "oldest", -1)]).result(5)
    longer = store.history("anna")
    assert (longer.count, len(longer.seen), longer.truncated) == (13, 6, True)


def test_an_event_that_cannot_be_stored_does_not_harm_its_mates(store: Any) -> None:
    calls = [store.record([StoredEvent("anna", f"item-{i}", i)]) for i in range(20)]
    bad = store.record([StoredEvent("anna", "book", 1), StoredEvent("anna", "\ud800", 1)])
    assert [call.result(10) for call in calls] == [RecordCounts(1, 0)] * 20
    assert isinstance(bad.exception(10), UnicodeEncodeError)
    assert len(store.history("anna")) == 20
