import time
from pathlib import Path

import polars as pl
import pytest

from honeyguide.training import prepare
from honeyguide.training.preparation.profile import join_coverage

ROWS = "u,a,1600000000\nu,b,1600000060\nu,c,1600000120\nu,d,1600000180\nv,a,1600000000\n"


def write(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_profile_shows_what_was_read(tmp_path: Path) -> None:
    log = write(tmp_path, f"user_id,item_id,t\n{ROWS}")
    items = write(tmp_path, "item_id,tags\na,x|y\nb,x\nz,y\n", "items.csv")
    data = prepare(log, out=tmp_path / "data", time="t", items=items, categories="tags")
    profile = data.report["profile"]
    assert (profile["users"], profile["items"], profile["events"]) == (2, 4, 5)
    assert profile["events_per_user"] == {"least": 1, "q1": 1.75, "median": 2.5, "q3": 3.25, "most": 4}
    assert profile["time_range"] == ["2020-09-13T12:26:40+00:00", "2020-09-13T12:29:40+00:00"]
    assert profile["sparsity"] == pytest.approx(1 - 5 / 8)
    assert profile["cold_items"] == 0.5  # c and d are held out
    assert profile["top_categories"] == {"x": 3, "y": 2}
    assert profile["join"] == {"of_log": 4, "joined": 2, "never_seen": 1}
    assert profile["repeats"]["share"] == 0
    assert data.report["read_as"]["time_unit"] == "seconds"
    assert data.report["warnings"] == []


def test_an_items_file_that_knows_less_than_half_is_warned_of() -> None:
    counts, warning = join_coverage(pl.Series(["1", "2", "3"]), pl.Series(["i1", "1", "i3"]), "items.csv")
    assert counts == {"of_log": 3, "joined": 1, "never_seen": 2}
    assert "items.csv knows 1 of the log's 3 items" in warning
    assert "'2'" in warning
    assert "--item-id" in warning
    assert join_coverage(pl.Series(["1", "2"]), pl.Series(["1"]), "items.csv")[1] == ""


def test_times_after_this_moment_are_warned_of(tmp_path: Path) -> None:
    tomorrow = int(time.time()) + 86_400
    log = write(tmp_path, f"user_id,item_id,t\n{ROWS}u,e,{tomorrow}\n")
    (warning,) = prepare(log, out=tmp_path / "data", time="t").report["warnings"]
    assert warning.startswith("1 events lie after this moment")


def test_a_random_split_says_that_order_is_lost(tmp_path: Path) -> None:
    log = write(tmp_path, "user_id,item_id\n" + "".join(f"{i % 5},{i % 7}\n" for i in range(60)))
    data = prepare(log, out=tmp_path / "data", split="random", repeats="yes")
    assert [data.counts[part] for part in ("train", "validation", "test")] == [48, 6, 6]
    assert "the order of a file is no time" in data.report["warnings"][0]
    assert len(data.evaluation("test").histories.lengths) > 0
