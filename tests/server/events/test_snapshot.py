"""A history that is added to equals one that is read anew, whatever its length and the order of its events."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.server.events import event_file, snapshot
from honeyguide.server.events.snapshot import Snapshot, read_snapshot
from honeyguide.server.events.store import StoredEvent, StoredHistory
from honeyguide.server.events.tables import EventTables

# No two events at one time: of items met last at the same moment either may be the one that does not fit.
moments = st.lists(st.integers(0, 10**6), unique=True, max_size=25)


def assert_same(left: StoredHistory, right: StoredHistory) -> None:
    for name in snapshot._COLUMNS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
        assert not getattr(left, name).flags.writeable
    assert (left.count, left.truncated, left.seen is None) == (right.count, right.truncated, right.seen is None)
    if left.seen is not None and right.seen is not None:
        assert sorted(left.seen) == sorted(right.seen)


@settings(max_examples=40, deadline=None)
@given(moments, st.data())
def test_what_is_added_equals_what_is_read_anew(moments: list[int], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "MAX_HISTORY_EVENTS", 8)
        patch.setattr(snapshot, "MAX_SEEN_ITEMS", 5)
        db = event_file.open_file(Path(folder) / "events.db")
        db.execute("PRAGMA synchronous = OFF")
        tables = EventTables(db)
        kept: Snapshot | None = None
        while moments:
            size = data.draw(st.integers(1, 6))
            part, moments = moments[:size], moments[size:]
            tables.begin(alone=False)
            _, added = tables.record([[StoredEvent("anna", f"item-{t % 7}", t, value=t % 3) for t in part]])
            tables.number_commit()
            tables.commit()
            rows = [row for _, row in added]
            fresh = read_snapshot(db, "anna")
            extended = None if kept is None else kept.extended(rows)
            if extended is not None:
                assert_same(extended.history, fresh.history)
                assert extended.last_event == fresh.last_event
                assert extended.extended(rows) is extended  # what it has is not added again
            elif kept is not None:  # it is long now, and was not
                assert (kept.history.seen, fresh.history.seen is None) == (None, False)
            kept = extended or fresh
        db.close()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**52),
            st.none() | st.floats(0, 2.0**100, width=32),
            st.none() | st.floats(-(2.0**100), 2.0**100, width=32),
        ),
        max_size=12,
    ),
    st.integers(1, 12),
)
def test_a_short_history_is_read_as_a_long_one(
    events: list[tuple[int, float | None, float | None]], times: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = event_file.open_file(Path(folder) / "events.db")
        db.execute("PRAGMA synchronous = OFF")
        tables = EventTables(db)
        tables.begin(alone=False)
        stored = [
            StoredEvent("anna", f"item-{i}", time // times, f"type-{i % 2}", dwell_seconds=dwell, value=value)
            for i, (time, dwell, value) in enumerate(events)  # some have equal times
        ]
        tables.record([stored, [StoredEvent("bob", "item-0", 1, value=3)]])
        tables.number_commit()
        tables.commit()
        short = read_snapshot(db, "anna")
        if events:
            long = snapshot._read_long(db, "anna")
            assert_same(short.history, long.history)
            assert short.last_event == long.last_event
        assert (len(short.history), short.history.count) == (len(events), len(events))
        db.close()
