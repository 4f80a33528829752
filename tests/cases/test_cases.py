"""Small files that other tools read wrongly in silence, and what `honeyguide prepare` does with each.

pytest tests/cases -v      # a line for each
"""

import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from honeyguide.cli.app import build
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.dataset import Dataset

pytestmark = pytest.mark.slow(5)

INPUTS = Path(__file__).parent / "inputs"
SHOP = "--user user --item item --time ts --event-type type"
STEAM = "steam_headerless.csv --no-header --user 1 --item 2 --event-type 3 --value 4"

REFUSED: list[tuple[str, list[str]]] = [
    ("bs_min.csv --time ts", ["bs_min.csv", "row 2", "'title'", "--escape"]),
    ("loneq.csv --time ts", ["loneq.csv", "row 12", "'title'", "--quote none"]),
    ("us.csv --time ts", ["row 3", "2020-03-01", "'%d/%m/%Y %H:%M'", "2020-01-03", "'%m/%d/%Y %H:%M'"]),
    ("us.csv --time ts --time-unit datetime", ["row 3", "2020-03-01", "2020-01-03"]),
    ("us_dates_ambiguous.csv --time ts", ["row 2", "2024-02-01", "2024-01-02", "--time-format"]),
    ("micros.csv --time ts --time-unit seconds", ["row 2", "after the year 2100", "--time-unit microseconds"]),
    ("nanos.csv --time ts --time-unit milliseconds", ["--time-unit nanoseconds"]),
    ("decimalcomma.csv --time ts --value price", ["row 2", "'price'", "'1,5'", "--decimal ','"]),
    ("ragged.csv --time ts", ["ragged.csv", "row 2", "4 fields", "--skip-bad-rows"]),
    ("dupcol.csv --time ts", ["'ts'", "twice"]),
    ("shop_xlsx_as.csv", ["shop_xlsx_as.csv", "Excel", "CSV"]),
    ("rb2.inter --preset recbole", ["rb2.inter", "row 2", "'rating'", "'—'", "--skip-bad-rows"]),
    ("three_events.csv --time ts", ["two baskets of training events", "--split random"]),
    ("tri.csv --time ts", ["two baskets of training events", "--split random"]),
    ('minus_one.csv --item anime_id --where "rating"', ["COLUMN = VALUE"]),
    (f"{STEAM} --merge strongest --strength purchase:1,buy:2", ["buy", "the log has", "purchase"]),
    ("idmix.csv --time ts --since 2020", ["2020-01-01"]),
]
"""The command's words, and words of the message."""

READ: list[tuple[str, dict[str, Any]]] = [
    (r"bs_min.csv --time ts --escape '\'", {"events": 7}),
    ("loneq.csv --time ts --quote none", {"events": 30}),
    ("cr.csv --time ts", {"events": 30, "users": 6}),
    ("us.csv --time ts --time-format '%m/%d/%Y %H:%M'", {"events": 30, "from": "2020-01-01T10:00"}),
    ("us.csv --time ts --time-format '%d/%m/%Y %H:%M'", {"events": 30, "from": "2020-01-01T10:00"}),
    ("mixtz.csv --time ts --time-unit datetime", {"events": 30, "from": "2020-09-12T23:00"}),
    ("mixtz.csv --time ts", {"events": 30, "from": "2020-09-12T23:00"}),
    ("micros.csv --time ts", {"unit": "microseconds", "from": "2020-09-13T12:26:40"}),
    ("nanos.csv --time ts", {"unit": "nanoseconds", "from": "2020-09-13T12:26:40"}),
    ("micros.csv --time ts --time-unit microseconds", {"from": "2020-09-13T12:26:40"}),
    ("sci_lossy.csv --time ts", {"events": 30, "warned": "all times are equal"}),
    ("floatid.csv --time ts", {"users": 6, "user": "17850", "dropped": {"missing user": 1}}),
    ("p_float.parquet --time ts", {"users": 6, "user": "17850", "dropped": {"missing user": 2}}),
    ("p_inf.parquet --time ts", {"users": 6, "user": "17850", "dropped": {"missing user": 1}}),
    ("spaces2.csv --time ts", {"users": 6, "user": "0"}),
    ("idmix.csv --time ts --no-trainable", {"users": 4, "items": 7, "user": "007"}),
    ("nanuser.csv --time ts", {"users": 6, "dropped": {"missing user": 6}}),
    ("nanuser.csv --time ts --no-missing-words", {"users": 12, "user": "NULL"}),
    ("spaces2.csv --time ts --items it_float.csv --title title", {"joined": 11, "title": "Title 0"}),
    ("spaces2.csv --time ts --items it_space.csv --title title", {"joined": 11, "title": "Title 0"}),
    (
        "funnel.csv --time ts --item item_id --items it_float.csv",
        {"joined": 0, "warned": "knows 0 of the log's 9 items"},
    ),
    ("decimalcomma.csv --time ts --value price --separator ';' --decimal ','", {"events": 30, "mean": 1.5}),
    ("decimalcomma.csv --time ts --value price --decimal ','", {"events": 30, "separator": ";"}),
    ("trailcomma.csv --time ts", {"events": 30}),
    ("ragged.csv --time ts --skip-bad-rows --no-trainable", {"events": 3}),
    ("blank.csv --time ts", {"events": 30, "read": 30}),
    ("index.csv --time ts", {"events": 30}),
    ("dupcol.csv", {"events": 30}),
    ("quotedtsv.tsv --time ts", {"events": 30, "users": 6}),
    ("quotedtsv.tsv --preset recbole --time ts", {"events": 30, "users": 6}),
    ("utf16.csv --time ts", {"events": 30}),
    ("gzipped_but_csv.csv --time ts", {"events": 30}),
    ("rb2.inter --preset recbole --skip-bad-rows --no-trainable", {"events": 1}),
    ("s3rec.txt --preset sequences", {"users": 3, "events": 12, "user": "u1"}),
    ("s3rec.txt --sequences", {"users": 3, "events": 12}),
    (f"shop.jsonl {SHOP}", {"users": 6, "from": "2024-03-01T08:00"}),
    (STEAM, {"events": 60, "warned": "--merge last, strongest or sum"}),
    (f"{STEAM} --merge sum", {"events": 60}),
    (f"{STEAM} --merge strongest --strength value", {"events": 60, "types": {"play", "purchase"}}),
    (f"{STEAM} --where '3 = play'", {"events": 60, "types": {"play"}}),
    ("funnel.csv --time ts --event-type event_type --merge strongest", {"events": 100, "type": ("transaction", 33)}),
    ("funnel.csv --time ts --event-type event_type", {"events": 100, "warned": "in direct succession"}),
    ("minus_one.csv --item anime_id --value rating --missing -1", {"events": 60, "missing": 24}),
    (
        'minus_one.csv --item anime_id --value rating --where "rating != -1" --split random',
        {"events": 36, "missing": 0},
    ),
    ("three_events.csv --time ts --split random", {"warned": "the split is random"}),
    ("tri.csv --time ts --split random", {"warned": "the split is random"}),
    ("blank.csv --time ts --since 2020-09-13T12:30:00Z --until 2020-09-13T13:30:00Z --no-trainable", {"events": 16}),
]
"""The command's words, and what the data set is like."""


def prepare(words: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(INPUTS)
    return CliRunner().invoke(build(), ["prepare", *shlex.split(words), "--out", str(out)])


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[words for words, _ in REFUSED])
def test_refused(words: str, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = prepare(words, tmp_path / "out", monkeypatch)
    assert isinstance(done.exception, DataError | ConfigError), done.output
    message = str(done.exception)
    assert [word for word in said if word not in message] == [], message
    assert len(message.splitlines()) <= 4
    assert len(message) < 600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("words", "facts"), READ, ids=[words for words, _ in READ])
def test_read(words: str, facts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = prepare(words, tmp_path / "out", monkeypatch)
    assert done.exit_code == 0, done.exception or done.output
    data = Dataset.open(tmp_path / "out")
    report, profile = data.report, data.report["profile"]
    types = data.events["event_type"].value_counts() if "event_type" in data.events.columns else None
    counted = dict(types.iter_rows()) if types is not None else {}
    found: dict[str, Any] = {
        **{name: data.counts[name] for name in ("users", "items", "events")},
        "read": report["read"],
        "unit": report["read_as"].get("time_unit"),
        "separator": report["read_as"].get("separator"),
        "dropped": {each["reason"]: each["events"] for each in report["dropped"]},
        "joined": (profile["join"] or {}).get("joined"),
        "title": data.items["title"][0],
        "types": set(counted),
    }
    for name, value in facts.items():
        if name == "from":
            assert profile["time_range"][0].startswith(value)
        elif name == "warned":
            assert value in " ".join(report["warnings"])
            assert value in " ".join(done.stderr.split())
        elif name == "user":
            assert value in data.users["user_id"].to_list()
        elif name == "type":
            assert counted[value[0]] == value[1]
        elif name in ("mean", "missing"):
            assert report["features"]["value"][name] == value
        else:
            assert found[name] == value, name


def test_every_input_is_used() -> None:
    words = " ".join(words for words, _ in REFUSED + READ)
    assert [path.name for path in INPUTS.iterdir() if path.name not in words] == []
