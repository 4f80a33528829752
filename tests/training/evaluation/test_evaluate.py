"""Calls the library as a notebook would; `tests/cli/test_evaluate.py` covers rules and joint runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from honeyguide import training
from honeyguide.cli.app import build
from honeyguide.sdk.errors import DataError, InvalidArgument
from honeyguide.training.dataset import Dataset


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the data sets "shop", "other" and "foreign", with other item ids; on the first the run "cf"."""
    home = tmp_path_factory.mktemp("home")
    random = np.random.default_rng(0)
    for name in ("shop", "other", "foreign"):
        item_id = "f" if name == "foreign" else "i"
        rows = [
            f"u{user},{item_id}{item},{time}"
            for user in range(30)
            for time, item in enumerate(random.permutation(20)[:6])
        ]
        (home / f"{name}.csv").write_text("user_id,item_id,time\n" + "\n".join(rows) + "\n")
        words = ["prepare", str(home / f"{name}.csv"), "--time", "time", "--out", str(home / name)]
        assert CliRunner().invoke(build(), words).exit_code == 0
    words = ["train", "cf", str(home / "shop"), "--out", str(home / "cf"), "--epochs", "1", "--candidates", "0"]
    assert CliRunner().invoke(build(), words).exit_code == 0
    return home


def test_the_table_has_a_row_for_each_stage(home: Path) -> None:
    told: list[str] = []
    table = training.evaluate(home / "cf", home / "shop", k=[5, 20], rule=["seen"], progress=told.append)
    assert table["stage"].to_list() == ["popularity", "transitions", "retrieve", "retrieve + seen"]
    assert table["users"].to_list() == [30] * 4
    assert table["hr@20"].to_list()[:3] == [1.0] * 3  # there are 20 items
    assert table["auc"].null_count() == 1  # of a rule's list, which is no full ranking
    assert table.filter(pl.col("ndcg@5") > pl.col("ndcg@20")).is_empty()
    assert (told[0], told[-1]) == ("reading the run", "ranking, user 30 of 30")


def test_folders_may_be_text_and_data_may_be_open(home: Path) -> None:
    tables = [
        training.evaluate(run, data, split="validation", k=[10])
        for run, data in ((home / "cf", Dataset.open(home / "shop")), (str(home / "cf"), str(home / "shop")))
    ]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "train"}, "split is 'train'; allowed: test or validation"),
        ({"targets": "first"}, "targets is 'first'; allowed: all, last, successive"),
        ({"k": [10, 0]}, r"k is \[10, 0\]; allowed: one or more whole numbers from 1 to 100,000"),
        ({"k": [10**20]}, r"k is \[1000.*; allowed: one or more"),
        ({"k": []}, r"k is \[\]; allowed"),
        ({"rule": ["seen:newest"]}, "rule is 'seen:newest'; allowed: NAME or NAME:KEY=VALUE"),
    ],
)
def test_an_argument_out_of_its_range_is_refused(home: Path, options: dict, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        training.evaluate(home / "cf", home / "shop", **options)


def test_each_difference_has_an_interval_around_its_gain(home: Path) -> None:
    table = training.evaluate(home / "cf", home / "shop", k=[5, 20], rule=["seen"])
    assert table["protocol"].to_list() == ["leave-one-out"] * 4
    ndcg = table["ndcg@5"].to_list()  # 5 is the cut closest to 10
    assert table["above_gain"].to_list() == [None, *(pytest.approx(ndcg[i + 1] - ndcg[i]) for i in range(2)), None]
    assert table["transitions_gain"].to_list() == [None, None, pytest.approx(ndcg[2] - ndcg[1]), None]
    for label in ("above", "transitions"):
        between = table.filter(pl.col(f"{label}_gain").is_between(f"{label}_low", f"{label}_high", closed="none"))
        assert between.height == table[f"{label}_gain"].len() - table[f"{label}_gain"].null_count()


def test_one_run_is_asked_for_any_targets_of_a_global_time_split(home: Path, tmp_path: Path) -> None:
    rows = [f"u{u},i{(u * 7 + n * 3) % 11},{100 * n + u}" for u in range(6) for n in range(10)]
    (tmp_path / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(rows) + "\n")
    split = {"split": "global-time", "quantile": 0.75, "targets": "successive", "repeats": "yes"}
    data = training.prepare(tmp_path / "log.csv", time="time", out=tmp_path / "data", **split)
    run = training.train("cf", data, out=tmp_path / "run", epochs=1, candidates=0)
    assert run.checkpoint.report["protocol"] == "global-time, successive targets"
    figures = {}
    for targets in (None, "all", "last", "successive"):
        table = training.evaluate(run, data, targets=targets, k=[5])
        assert table["users"].to_list() == [6] * 3
        assert table["protocol"][0] == f"global-time, {targets or 'successive'} targets"
        figures[targets] = table["ndcg@5"].to_list()
    assert figures[None] == figures["successive"] != figures["last"]
    with pytest.raises(DataError, match=r"leave-one-out.*only a global-time split has 'last' targets"):
        training.evaluate(home / "cf", home / "shop", targets="last")


def test_other_data_of_which_nothing_is_known_are_refused(home: Path) -> None:
    with pytest.raises(DataError, match=r"knows 0 of the 20 items of data set 'foreign'.*\n.*same item ids"):
        training.evaluate(home / "cf", home / "foreign")


def test_data_with_the_same_items_are_known_whole(home: Path) -> None:
    table = training.evaluate(home / "cf", home / "other", k=[20])
    assert table["hr@20"].to_list() == [1.0, 1.0, 1.0]
    for what, count in (("items", 20), ("users", 30), ("events", 150), ("targets", 30)):
        assert table[f"{what}_known"].to_list() == table[f"{what}_total"].to_list() == [count] * 3


def test_a_run_without_its_item_ids_is_told_what_helps(home: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(home / "cf", tmp_path / "cf"))
    (run / "items.parquet").unlink()
    training.evaluate(run, home / "shop")
    with pytest.raises(DataError, match=r"does not say what its items are.*\n.*train it again"):
        training.evaluate(run, home / "other")
