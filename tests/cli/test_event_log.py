"""`honeyguide events export` writes what `prepare` reads, while a server writes (`event_log.py`)."""

import json
import shlex
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from honeyguide.cli import events
from honeyguide.cli.event_log import EventLog
from honeyguide.sdk.errors import ConfigError
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent
from honeyguide.training.dataset import Dataset
from honeyguide.training.preparation.prepare import prepare

DAY = 86_400_000
START = 1_767_225_600_000  # 2026-01-01


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record(
            [
                StoredEvent(f"user,{u}", f'item "{(u + i) % 7}"', START + i * DAY, "view", 1.5 + i, event_id=f"{i}")
                for u in range(10)
                for i in range(5)
            ]
        ).result()
    return tmp_path / "events.db"


def export(file: Path, store: Path, *words: str) -> tuple[dict[str, object], str]:
    app = typer.Typer()
    events.add_to(app)
    result = CliRunner().invoke(
        app, ["events", "export", str(file), "--events", str(store), "--json", *words], catch_exceptions=False
    )
    assert result.exit_code == 0
    return json.loads(result.stdout), " ".join(result.stderr.split())


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_prepare_reads_what_is_exported_as_the_next_line_says(path: Path, tmp_path: Path, name: str) -> None:
    with SqliteEventStore(path):  # the server runs
        done, said = export(tmp_path / name, path)
    assert done["events"] == 50
    words = shlex.split(said.split("next: honeyguide ")[1])
    assert words[:2] == ["prepare", str(tmp_path / name)]
    flags = {flag[2:].replace("-", "_"): value for flag, value in zip(words[2::2], words[3::2], strict=True)}
    assert flags.pop("out") == "data/log"
    assert flags == {"time": "time_ms", "event_type": "event_type", "dwell": "dwell_seconds"}
    prepare(tmp_path / name, out=tmp_path / "shop", **flags)
    data = Dataset.open(tmp_path / "shop")
    assert (data.users.height, data.items.height, data.events.height) == (10, 7, 50)
    assert data.spec.event_types == ("view",)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--since", "2026-01-03"), 30),
        (("--until", "2026-01-03"), 20),
        (("--since", str(START + DAY), "--until", "2026-01-02T00:00:01"), 10),
        (("--since", "2027-01-01"), 0),
    ],
)
def test_a_range_of_time(path: Path, tmp_path: Path, words: tuple[str, ...], count: int) -> None:
    done, said = export(tmp_path / "log.parquet", path, *words)
    table = pl.read_parquet(tmp_path / "log.parquet")
    assert (done["events"], table.height) == (count, count)
    assert ("next:" in said) == bool(count)


def test_what_is_exported_is_what_was_recorded(path: Path, tmp_path: Path) -> None:
    export(tmp_path / "log.parquet", path)
    table = pl.read_parquet(tmp_path / "log.parquet").filter(pl.col("user_id") == "user,3")
    with SqliteEventStore(path) as store:
        recorded = store.page("user,3", 10).events[::-1]
    assert table["item_id"].to_list() == [event.item_id for event in recorded]
    assert table["time_ms"].to_list() == [event.time_ms for event in recorded]
    assert table["event_id"].to_list() == [event.event_id for event in recorded]
    assert table["clicks"].null_count() == 5
    assert (tmp_path / "log.parquet").stat().st_mode & 0o777 == 0o600


def test_a_log_is_whole_or_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with EventLog(tmp_path / "log.csv") as log:
            log.write(pl.DataFrame({"user_id": ["anna"]}))
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_another_kind_or_a_store_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends with \.csv or \.parquet"):
        EventLog(tmp_path / "log.txt")
    with pytest.raises(ConfigError, match="there is no such file"):
        export(tmp_path / "log.csv", tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []
