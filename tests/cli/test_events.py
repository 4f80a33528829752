"""Tests of `honeyguide events import`: what is brought in, once, and how much of the split."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from honeyguide.cli import events
from honeyguide.sdk import DataSpec
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.server.events.pseudonymous import PseudonymousStore, read_user_keys
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.training.dataset import Dataset, fingerprint


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    table = pl.DataFrame(
        {
            "user": pl.Series([0, 0, 0, 1, 1, 1, 1], dtype=pl.Int32),
            "item": pl.Series([0, 1, 2, 2, 2, 1, 0], dtype=pl.Int32),
            "split": pl.Series([0, 1, 2, 0, 0, 1, 2], dtype=pl.Int8),
            "time_ms": pl.Series([10, 20, 30, 5, 5, 6, 7], dtype=pl.Int64),
            "event_type": ["buy"] * 7,
            "value": pl.Series([1.5, None, 2, 3, 4, 5, 6], dtype=pl.Float32).fill_null(float("nan")),
        }
    )
    users = pl.DataFrame({"user_id": ["anna", "ben"]})
    items = pl.DataFrame(
        {"item_id": ["a", "b", "c"], "title": ["", "", ""], "categories": [["x"], [], []], "popularity": [1, 0, 2]}
    )
    digest = fingerprint(table, users, items)
    Dataset(
        name="shop",
        spec=DataSpec(items=3, repeats=True, has_time=True, event_types=("buy",), fingerprint=digest),
        split="leave-one-out",
        events=table,
        users=users,
        items=items,
    ).write(tmp_path / "shop")
    return tmp_path / "shop"


def bring_in(dataset: Path, store: Path, *words: str) -> dict[str, object]:
    app = typer.Typer()
    events.add_to(app)
    result = CliRunner().invoke(
        app, ["events", "import", str(dataset), "--events", str(store), "--json", *words], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert f"next: honeyguide serve --events {store}" in " ".join(result.stderr.split())
    return json.loads(result.stdout)


def histories(store: Path) -> dict[str, list[str]]:
    with SqliteEventStore(store) as opened:
        names = opened.item_ids()
        return {user: [names[i] for i in opened.history(user).items] for user in ("anna", "ben")}


def test_every_event_is_imported_once(dataset: Path, tmp_path: Path) -> None:
    store = tmp_path / "events.db"
    first = bring_in(dataset, store)
    assert (first["imported"], first["already_there"], first["users"]) == (7, 0, 2)
    second = bring_in(dataset, store)
    assert (second["imported"], second["already_there"]) == (0, 7)
    assert histories(store) == {"anna": ["a", "b", "c"], "ben": ["c", "c", "b", "a"]}
    with SqliteEventStore(store) as opened:
        newest, middle, oldest = opened.page("anna", 10).events
        assert (newest.time_ms, newest.event_type, newest.value) == (30, "buy", 2.0)
        assert (middle.value, oldest.value) == (None, 1.5)


def test_users_are_imported_under_their_pseudonyms(dataset: Path, tmp_path: Path) -> None:
    keys, store = tmp_path / "keys", tmp_path / "events.db"
    keys.write_text("k" * 32)
    bring_in(dataset, store, "--user-keys", str(keys))
    with SqliteEventStore(store) as opened:
        assert opened.count("anna") == 0
        assert PseudonymousStore(opened, read_user_keys(keys)).count("anna") == 3


def test_later_parts_of_the_split_can_follow(dataset: Path, tmp_path: Path) -> None:
    store = tmp_path / "events.db"
    assert bring_in(dataset, store, "--until", "train")["imported"] == 3
    assert histories(store) == {"anna": ["a"], "ben": ["c", "c"]}
    assert bring_in(dataset, store, "--until", "validation")["imported"] == 2
    assert histories(store) == {"anna": ["a", "b"], "ben": ["c", "c", "b"]}
    assert bring_in(dataset, store)["imported"] == 2
    assert histories(store) == {"anna": ["a", "b", "c"], "ben": ["c", "c", "b", "a"]}


def test_what_is_no_data_set_or_no_store_is_refused_by_name(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a data set"):
        bring_in(tmp_path, tmp_path / "events.db")
    with pytest.raises(ConfigError, match="cannot be opened"):
        bring_in(dataset, tmp_path / "missing" / "events.db")


def test_a_store_in_memory_is_refused_with_a_remedy(dataset: Path) -> None:
    with pytest.raises(ConfigError, match=r"events is ':memory:', .* name a file, such as events.db"):
        bring_in(dataset, Path(":memory:"))


def test_the_import_loads_no_torch(dataset: Path, tmp_path: Path) -> None:
    program = (
        "import sys, typer\nfrom honeyguide.cli import events\napp = typer.Typer()\nevents.add_to(app)\n"
        "try:\n    app()\nfinally:\n    print(sorted({'torch', 'onnxruntime', 'faiss'} & set(sys.modules)))"
    )
    words = ["events", "import", str(dataset), "--events", str(tmp_path / "events.db")]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "imported" in done.stdout
