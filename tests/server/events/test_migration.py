"""Whatever ends a migration, the next try finishes it, and both stores hold the same (`migration.py`)."""

from pathlib import Path

import pytest
from migrations import FILL, check_both_ways

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.server.events import migration
from honeyguide.server.events.migration import migrate
from honeyguide.server.events.opening import describe_store, is_database
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent


@pytest.fixture
def source(tmp_path: Path) -> str:
    with SqliteEventStore(tmp_path / "source.db") as store:
        store.record(FILL).result()
    return str(tmp_path / "source.db")


def test_a_migration_that_was_cut_off_is_finished(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_both_ways(source, str(tmp_path / "target.db"), str(tmp_path / "back.db"), monkeypatch)


def test_a_target_with_events_of_its_own_is_refused(source: str, tmp_path: Path) -> None:
    with SqliteEventStore(tmp_path / "target.db") as store:
        store.record([StoredEvent("anna", "book", 1)]).result()
    with pytest.raises(ConfigError, match="has 1 events that no migration of this source brought"):
        migrate(source, str(tmp_path / "target.db"))
    with pytest.raises(ConfigError, match="both"):
        migrate(source, source)
    with pytest.raises(ConfigError, match="no such file"):
        migrate(str(tmp_path / "none.db"), source)


def test_a_source_that_is_written_meanwhile_is_noticed(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "_ROWS", 10)
    written = []

    def write(_events: int) -> None:
        if len(written) < 1 and _events > 20:
            with SqliteEventStore(Path(source)) as store:
                store.record([StoredEvent("user-0", "late", 0)]).result()
            written.append(1)

    with pytest.raises(DataError, match=r"the source has 121 events of 7 users, the target 120 of 7"):
        migrate(source, str(tmp_path / "target.db"), write)


def test_a_file_is_told_from_a_database() -> None:
    assert [is_database(name) for name in ("events.db", "postgresql://db/x", "postgres://db/x")] == [False, True, True]
    assert describe_store("events.db") == "events.db"
