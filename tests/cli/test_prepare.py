"""`honeyguide prepare` and its flags (`prepare_flags.py`): what they come to, from the command line or a file."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from honeyguide.cli.prepare import add_to
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.dataset import Dataset
from honeyguide.training.preparation.options import PrepareOptions
from honeyguide.training.preparation.presets import PRESETS

LOG = "uid,sku,ts,stay\nu,a,10,1\nu,b,20,2\nu,c,30,3\nu,d,40,3\nv,a,5,\nv,,6,9\n"


def invoke(*words: object) -> Any:
    app = typer.Typer()
    app.callback()(lambda: None)  # so that the verb keeps its name
    add_to(app)
    return CliRunner().invoke(app, ["prepare", *map(str, words)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


def test_tables_say_what_was_read_dropped_and_kept(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "shop"
    done = invoke(log, "--user", "uid", "--item", "sku", "--time", "ts", "--dwell", "stay", "--out", out)
    assert done.exit_code == 0, done.output
    text = " ".join(done.stdout.split())
    for word in (
        "read",
        "dropped: missing item",
        "row 7",
        "kept",
        "2 users, 4 items",
        "leave-one-out",
        "dwell_seconds",
        "1970-01-01T00:00:05+00:00",
        "0.00% returns",
        "sparsity",
    ):
        assert word in text
    assert f"next: honeyguide train cf {out}" in done.stderr
    assert "warning: every time lies before 1971" in " ".join(done.stderr.split())
    assert Dataset.open(out).name == "shop"


def test_a_split_by_time_says_from_when_each_part_is(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,day\n" + "".join(f"u{i % 3},i{i},2020-01-{i + 1:02}\n" for i in range(20)))
    words = (
        log,
        "--time",
        "day",
        "--split",
        "global-time",
        "--validation-from",
        "2020-01-11",
        "--test-from",
        "2020-01-16",
    )
    done = invoke(*words, "--out", tmp_path / "shop")
    assert done.exit_code == 0, done.output
    rows = [line.replace("│", " ").split() for line in done.stdout.splitlines()]
    assert ["validation", "5", "2020-01-11T00:00:00+00:00"] in rows
    assert ["test", "5", "2020-01-16T00:00:00+00:00"] in rows


def test_json_is_the_report_alone(log: Path, tmp_path: Path) -> None:
    done = invoke(log, "--user", "uid", "--item", "sku", "--name", "n", "--out", tmp_path / "shop", "--json")
    said = json.loads(done.stdout)
    assert said["name"] == "n"
    assert said["read"] == 6
    assert said["dropped"] == [{"reason": "missing item", "events": 1, "example": "row 7: user=v, item=None"}]
    assert said["profile"]["events_per_user"]["most"] == 4
    assert said["counts"]["events"] == said["kept"] == 5


def test_config_file_gives_flags_and_flags_win(log: Path, tmp_path: Path) -> None:
    config = tmp_path / "shop.toml"
    config.write_text(
        f'source = "{log}"\nout = "{tmp_path / "a"}"\nuser = "uid"\nitem = "sku"\ntime = "ts"\nmin_user_events = 3\n'
    )
    done = invoke("--config", config)
    assert done.exit_code == 0
    assert f"next: honeyguide train cf {tmp_path / 'a'} --out" in done.stderr
    assert Dataset.open(tmp_path / "a").counts["users"] == 1
    assert invoke("--config", config, "--min-user-events", 1, "--out", tmp_path / "b").exit_code == 0
    assert Dataset.open(tmp_path / "b").counts["users"] == 2


def test_preset_needs_no_path_for_the_demo(tmp_path: Path) -> None:
    assert invoke("--preset", "demo", "--out", tmp_path / "demo").exit_code == 0
    assert Dataset.open(tmp_path / "demo").spec.repeats


def test_existing_folder_needs_force(log: Path, tmp_path: Path) -> None:
    words = [log, "--user", "uid", "--item", "sku", "--out", tmp_path / "shop"]
    assert invoke(*words).exit_code == 0
    assert isinstance(invoke(*words).exception, DataError)
    assert invoke(*words, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--preset", "demo"], ConfigError, "--out"),
        (["--out", "x"], DataError, "--preset demo"),
        (["--config", "absent.toml"], ConfigError, "cannot be read"),
        (["log.csv", "--out", "x", "--item", "sku"], DataError, "uid, sku, ts, stay"),
        (["log.csv", "--out", "x", "--impute", "magic"], ConfigError, "median, mean, interpolation"),
    ],
)
def test_mistakes_raise_what_the_terminal_shows(
    log: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], error: type[Exception], said: str
) -> None:
    monkeypatch.chdir(log.parent)
    done = invoke(*words)
    assert isinstance(done.exception, error)
    assert said in str(done.exception)
    assert sorted(path.name for path in log.parent.iterdir()) == ["log.csv"]


@pytest.mark.parametrize("text", ["user = ", b"user = \xff"])
def test_what_is_no_toml_is_refused(tmp_path: Path, text: str | bytes) -> None:
    config = tmp_path / "shop.toml"
    config.write_bytes(text.encode() if isinstance(text, str) else text)
    done = invoke("--config", config, "--out", tmp_path / "shop")
    assert isinstance(done.exception, ConfigError)
    assert "is no TOML" in str(done.exception)


def test_an_unknown_name_in_the_toml_file_is_refused(log: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(f'source = "{log}"\nout = "shop"\nsplitt = "x"\n')
    done = invoke("--config", tmp_path / "shop.toml")
    assert isinstance(done.exception, ConfigError)
    assert "unknown option 'splitt'" in str(done.exception)


def test_conditions_and_values_that_mean_none_may_be_repeated(log: Path, tmp_path: Path) -> None:
    words = ("--user", "uid", "--item", "sku", "--dwell", "stay", "--where", "ts >= 20", "--where", "sku != c")
    done = invoke(
        log, *words, "--missing", "-1", "--missing", "3", "--out", tmp_path / "shop", "--no-trainable", "--json"
    )
    said = json.loads(done.stdout)
    assert [each["reason"] for each in said["dropped"]] == ["not ts >= 20", "not sku != c"]
    assert f"next: honeyguide events import {tmp_path / 'shop'} --events events.db" in done.stderr
    assert said["features"]["dwell_seconds"]["missing"] == 1
    config = tmp_path / "shop.toml"
    config.write_text(
        f'source = "{log}"\nuser = "uid"\nitem = "sku"\nwhere = ["sku in (a, b)", "ts < 20"]\ntrainable = false\n'
    )
    done = invoke("--config", config, "--out", tmp_path / "b", "--json")
    assert json.loads(done.stdout)["kept"] == 2


def test_several_files_are_one_log(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "more.csv"
    other.write_text("uid,sku,ts,stay\nw,a,1,1\nw,x,nope,1\n")
    words = [log, other, "--user", "uid", "--item", "sku", "--out", tmp_path / "shop"]
    assert invoke(*words).exit_code == 0
    assert Dataset.open(tmp_path / "shop").counts["users"] == 3
    done = invoke(*words, "--time", "ts", "--force")
    assert "more.csv, row 3, column 'ts': 'nope'" in str(done.exception)
    done = invoke(*words, "--time", "ts", "--force", "--skip-bad-rows", "--json")
    assert json.loads(done.stdout)["dropped"][0]["example"].startswith("more.csv row 3: ")


def test_every_preset_is_named_in_the_help() -> None:
    shown = " ".join(invoke("--help").output.replace("│", " ").split())
    assert [name for name in PRESETS if name not in shown] == []


def test_a_path_of_the_toml_file_is_text(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text('source = 5\nout = "shop"\n')
    done = invoke("--config", tmp_path / "shop.toml")
    assert isinstance(done.exception, ConfigError)
    assert "source is 5; it must be text" in str(done.exception)


def test_every_option_has_a_flag_and_help_has_an_example() -> None:
    shown = invoke("--help").output
    fields = {f.name for f in dataclasses.fields(PrepareOptions)} - {
        "category_flags"
    }  # for u.item, whose preset has it
    assert {name for name in fields if f"--{name.replace('_', '-')}" not in shown} == set()
    assert "honeyguide prepare --preset demo --out" in shown
