"""Calls are refused when they would wait for the disk longer than they may."""

import threading
from pathlib import Path
from time import monotonic, sleep

import pytest

from honeyguide.sdk.errors import OverCapacity
from honeyguide.server.events.admission import CommitSpeed
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import RecordCounts, StoredEvent
from honeyguide.server.events.tables import EventTables
from honeyguide.server.events.writer import Write


def test_the_estimate_tells_fixed_costs_from_those_of_events() -> None:
    speed = CommitSpeed()
    for _ in range(50):
        speed.observe(1, 0.01)
        speed.observe(1000, 0.2)
    assert speed.estimate(1) == pytest.approx(0.01, rel=0.1)
    assert speed.estimate(1000) == pytest.approx(0.21, rel=0.1)
    assert speed.estimate(0) == 0
    assert speed.wait(0, 0, 1000) == pytest.approx(speed.estimate(1000), rel=0.1)
    assert speed.wait(1000, 0.05, 1000) == pytest.approx(2 * 0.21, rel=0.1)
    assert speed.wait(1000, 2.0, 1000) == pytest.approx(2.0 + 0.21, rel=0.1)  # it stands still


def test_a_disk_whose_speed_varies_is_given_less_to_do() -> None:
    steady, varying = CommitSpeed(), CommitSpeed()
    for _ in range(50):
        for slow in (0.5, 1.5):
            steady.observe(1000, 0.2)
            varying.observe(1000, 0.2 * slow)
    assert varying.estimate(1000) == pytest.approx(steady.estimate(1000), rel=0.1)
    assert varying.wait(0, 0, 1000) > 1.7 * steady.wait(0, 0, 1000)


def test_calls_on_a_disk_that_stands_still_are_refused(tmp_path: Path) -> None:
    release = threading.Event()
    with SqliteEventStore(tmp_path / "events.db", max_queue_seconds=0.1) as store:
        stuck = store._writer.submit(Write[bool](work=lambda _: release.wait(10), size=1))
        early = store.record([StoredEvent("anna", "book", 1)])
        sleep(0.15)
        with pytest.raises(OverCapacity, match=r"2 events wait .* longer than the 0.1 s") as refused:
            store.record([StoredEvent("anna", "pen", 2)])
        assert refused.value.retry_after > 0
        release.set()
        assert (stuck.result(), early.result()) == (True, RecordCounts(1, 0))
        assert store.record([StoredEvent("anna", "pen", 2)]).result() == RecordCounts(1, 0)


def test_what_is_accepted_at_many_times_the_disks_speed_waits_no_longer_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, event_seconds = 0.2, 0.001
    record = EventTables.record

    def slow(self, calls):
        sleep(event_seconds * sum(map(len, calls)))
        return record(self, calls)

    monkeypatch.setattr(EventTables, "record", slow)
    waits: list[float] = []
    refused = 0
    with SqliteEventStore(tmp_path / "events.db", max_queue_seconds=bound) as store:
        begun = monotonic()
        while monotonic() - begun < 1.5:
            sent = monotonic()
            try:
                call = store.record([StoredEvent("anna", "book", 1)] * 50)
            except OverCapacity:
                refused += 1
            else:
                call.add_done_callback(lambda _, sent=sent: waits.append(monotonic() - sent))
            sleep(50 * event_seconds / 5)
    late = sorted(waits[len(waits) // 3 :])  # the first ones teach the speed
    assert refused > len(waits)
    assert late[int(0.9 * len(late))] < 1.25 * bound
    assert len(waits) * 50 * event_seconds > 0.75  # and the disk was kept busy
