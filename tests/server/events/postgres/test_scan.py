"""Events go from a file into a database and back, and out to a log (`scan.py`)."""

from pathlib import Path

import pytest
from migrations import FILL, check_both_ways
from postgres_server import PostgresServer

from honeyguide.server.events.postgres.scan import scan_database
from honeyguide.server.events.postgres.store import PostgresEventStore
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.training.preparation.prepare import prepare


def test_a_file_goes_into_a_database_and_back(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record(FILL).result()
    check_both_ways(str(tmp_path / "events.db"), url, str(tmp_path / "back.db"), monkeypatch)


def test_a_database_goes_into_another(postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with PostgresEventStore(url) as store:
        store.record(FILL).result()
    check_both_ways(url, postgres.make("second"), postgres.make("third"), monkeypatch)


def test_a_range_of_time_in_small_tables(store: PostgresEventStore, url: str) -> None:
    store.record(FILL).result()
    frames = list(scan_database(url, 10, 20, rows=7))
    assert [frame.events.height for frame in frames] == [7, 7, 7, 7, 2]
    assert all(10 <= time < 20 for frame in frames for time in frame.events["time_ms"])


def test_the_verbs_take_a_database_and_show_no_password(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from honeyguide.cli.events import export_events, import_events, migrate_events

    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record(FILL).result()
    secret = url.replace("honeyguide@", "honeyguide:secret@")
    migrate_events(str(tmp_path / "events.db"), secret)
    export_events(tmp_path / "log.csv", events=secret)
    prepare(tmp_path / "log.csv", out=tmp_path / "data", time="time_ms", repeats="yes")
    import_events(tmp_path / "data", events=secret)
    said = "".join(capsys.readouterr())
    assert "secret" not in said
    with PostgresEventStore(url) as store:
        assert store.totals() == (240, 7)
