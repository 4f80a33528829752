"""All events are read once, in order, whatever is recorded and deleted meanwhile (`scan.py`)."""

from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError, Unavailable
from honeyguide.server.events.scan import SCHEMA, scan_file
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record([StoredEvent(f"user-{u}", f"item-{i}", i // 2) for u in range(9) for i in range(11)]).result()
    return tmp_path / "events.db"


def test_every_event_comes_once_and_in_order(path: Path) -> None:
    frames = list(scan_file(path, rows=10))
    assert [frame.events.height for frame in frames] == [10] * 9 + [9]
    rows = [row for frame in frames for row in frame.events.select("user_id", "item_id", "time_ms").iter_rows()]
    assert rows == [(f"user-{u}", f"item-{i}", i // 2) for u in range(9) for i in range(11)]
    assert all(frame.events.schema == SCHEMA for frame in frames)


def test_a_scan_goes_on_after_a_place_while_others_write(path: Path) -> None:
    with SqliteEventStore(path) as store:
        scan = scan_file(path, rows=50)
        first = next(scan)
        store.record([StoredEvent("user-0", "new", 99), StoredEvent("user-99", "new", 99)]).result()
        assert store.delete_user("user-8").result() == 11
        rest = sum(frame.events.height for frame in scan)
        again = sum(frame.events.height for frame in scan_file(path, after=first.place))
    assert (first.events.height, rest, again) == (50, 50 - 12 + 1, 50 - 12 + 1)


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"nothing" * 100)
    with pytest.raises(Unavailable, match="could not be read"):
        list(scan_file(tmp_path / "other.db"))
    (tmp_path / "empty.db").touch()
    with pytest.raises(ConfigError, match="no event store"):
        list(scan_file(tmp_path / "empty.db"))
