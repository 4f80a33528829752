"""Covers benchmarks/quality: what is kept and merged, what answers are worth, and that every suite is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import quality.__main__
import quality_page
from quality import bench
from quality.__main__ import chosen
from quality.figures import figures, user_values
from quality.keeping import Kept, differences, merge
from quality.served import served_ranks
from quality.suites import SUITES, Entry, Suite, missing

from honeyguide import training
from honeyguide.client import Ranked
from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.training.dataset import Dataset

ROOT = Path(__file__).parents[3]


def log(folder: Path, **options: Any) -> Dataset:
    """Eight users who walk through nine items, a step a second."""
    rows = [f"u{user},i{(user + step) % 9},{10 * step + user},2" for user in range(8) for step in range(8)]
    (folder / "log.csv").write_text("user_id,item_id,t,pieces\n" + "\n".join(rows) + "\n")
    return training.prepare(folder / "log.csv", out=folder / "data", quantity="pieces", repeats="no", **options)


def kept(work: Path, name: str, seed: int, hits: list[float], retrieved: list[float] | None = None) -> None:
    rows, values = [], {}
    for stage, own in (("retrieve", retrieved), ("rank", hits)):
        if own is not None:
            row = {"model": name, "stage": stage, "path": "served", "seed": seed, "targets": "all"}
            rows.append(row | figures({"hr": np.array(own), "ndcg": np.array(own)}))
            values |= {f"all/{stage}/served/{metric}": np.array(own) for metric in ("hr", "ndcg")}
    Kept(work, name, seed).write(rows, {"model": name, "seed": seed}, values)


def test_a_row_takes_its_own_former_place_and_leaves_the_others(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    old = {"stage": "rank", "path": "served", "hr10_standard_error": 0.1, "ndcg10_standard_error": 0.1, "hr10": 0.0}
    former = [{"model": "cf", "seed": seed, **old} for seed in (0, 1)]  # of a file that named no suite
    out.write_text(json.dumps({"rows": former, "runs": [{"model": "cf", "seed": 0, "date": "old"}]}))
    kept(tmp_path, "cf", 0, [1.0, 0.0])
    kept(tmp_path, "gru", 0, [1.0, 1.0])
    ones = [Kept(tmp_path, name, 0) for name in ("cf", "gru")]
    assert [one.done for one in (*ones, Kept(tmp_path, "cf", 1))] == [True, True, False]
    result = merge(out, "s", ["gru", "cf"], ones, [{"model": "cf", "over": "gru"}])
    assert [(r["model"], r["seed"], r["hr10"]) for r in result["rows"]] == [("gru", 0, 1), ("cf", 0, 0.5), ("cf", 1, 0)]
    assert result["runs"] == [{"suite": "s", "model": "gru", "seed": 0}, {"suite": "s", "model": "cf", "seed": 0}]
    again = merge(out, "other", ["cf"], [ones[0]], [])
    assert len(again["rows"]) == 4
    assert again["differences"] == [{"suite": "s", "model": "cf", "over": "gru"}]


def test_a_former_difference_stays_until_its_figures_change(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    for name in ("a", "b", "c"):
        kept(tmp_path, name, 0, [1.0, 0.0])
    a, b, c = (Kept(tmp_path, name, 0) for name in ("a", "b", "c"))
    pairs = [{"model": "b", "over": "a", "hr10": 1}, {"model": "c", "over": "a", "hr10": 2}]
    merge(out, "s", ["a", "b", "c"], [a, b, c], pairs)
    same = merge(out, "s", ["a", "b", "c"], [a], [])  # as when the others were measured elsewhere
    assert [row["hr10"] for row in same["differences"]] == [1, 2]
    kept(tmp_path, "b", 0, [1.0, 1.0])
    gone = merge(out, "s", ["a", "b", "c"], [b], [])
    assert [row["hr10"] for row in gone["differences"]] == [2]
    told = merge(out, "s", ["a", "b", "c"], [c], [{"model": "c", "over": "a", "hr10": 3}])
    assert [row["hr10"] for row in told["differences"]] == [3]


def test_differences_are_of_the_seeds_that_both_have(tmp_path: Path) -> None:
    kept(tmp_path, "a", 0, [1, 1, 0, 0])
    kept(tmp_path, "a", 1, [1, 1, 1, 1])
    kept(tmp_path, "b", 0, [0, 0, 0, 0])
    kept(tmp_path, "transitions", 0, [1, 0, 0, 0])
    seeds = {"a": [0, 1], "b": [0], "transitions": [0]}
    over_b, over_counts = differences(tmp_path, seeds, [("a", "b"), ("a", "transitions"), ("c", "a")], ["all"])
    assert (over_b["seeds"], over_b["hr10"][0]) == ([0], 0.5)
    assert (over_counts["seeds"], over_counts["ndcg10"][0]) == ([0, 1], 0.5)  # .75 over both seeds, against .25
    for end in (over_b["hr10"], over_counts["hr10"]):
        assert end[1] <= end[0] <= end[2]


def test_retrievers_are_compared_too_where_both_rank(tmp_path: Path) -> None:
    kept(tmp_path, "a", 0, [1, 1, 0, 0], [1, 1, 1, 1])
    kept(tmp_path, "b", 0, [1, 1, 0, 0], [0, 0, 0, 0])
    kept(tmp_path, "c", 0, [0, 0, 0, 0])
    pairs = [("a", "b"), ("a", "c")]
    found = differences(tmp_path, {"a": [0], "b": [0], "c": [0]}, pairs, ["all"])
    assert [(d["over"], d["stages"], d["hr10"][0]) for d in found] == [
        ("b", ["rank/served", "rank/served"], 0.0),
        ("b", ["retrieve/served", "retrieve/served"], 1.0),
        ("c", ["rank/served", "rank/served"], 0.5),
    ]


def test_a_seed_with_which_a_ranker_was_left_out_does_not_count(tmp_path: Path) -> None:
    for seed in (0, 1):
        kept(tmp_path, "b", seed, [0, 0, 0, 0])
    kept(tmp_path, "joint", 1, [1, 1, 0, 0])
    for name, seed in (("joint", 0), ("never", 0)):
        Kept(tmp_path, name, seed).write([], {"model": name, "seed": seed}, {})
    seeds = {"joint": [0, 1], "b": [0, 1], "never": [0]}
    for _ in range(2):
        runs = merge(tmp_path / "out.json", "s", ["b", "joint"], [Kept(tmp_path, "joint", s) for s in (0, 1)], [])[
            "runs"
        ]
        assert [run["seed"] for run in runs] == [0, 1]
    (over,) = differences(tmp_path, seeds, [("joint", "b"), ("never", "b")], ["all"])
    assert (over["model"], over["seeds"], over["hr10"][0]) == ("joint", [1], 0.5)


def test_a_user_who_asks_several_times_counts_once() -> None:
    histories = HistoryBatch.from_lists([[0]] * 3)
    data = EvaluationSet(histories, np.arange(3), np.zeros(3, np.int32), owners=np.array([4, 4, 7]))
    values = user_values(np.array([1.0, 99.0, 1.0]), data)
    assert values["hr"].tolist() == [0.5, 1.0]
    row = figures(values, np.array([False, True]))
    assert (row["hr10"], row["hr10_exact"], row["users"], row["users_exact"]) == (0.75, 1.0, 2, 1)


class FakeClient:
    """Answers every history with the same items, and notes what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def recommend(self, *, history: Any, k: int, pipeline: str, request_time_ms: int) -> list[Any]:
        assert (k, pipeline) == (10, "rank")
        self.sent.append((history, request_time_ms))
        return [SimpleNamespace(item_id=item) for item in ("i8", "i7")]

    def recommend_stream(self, batches: Any, *, k: int, pipeline: str, timeout: float) -> Any:
        for batch in batches:
            self.sent += [(row.history, 0) for row in batch]
            yield SimpleNamespace(rows=[Ranked(["i8", "i7"], [2.0, 1.0], [], "", "") for _ in batch])


@pytest.mark.parametrize("timed", [True, False])
def test_each_target_has_its_place_in_the_answer(tmp_path: Path, timed: bool) -> None:
    data = log(tmp_path, **({"time": "t"} if timed else {}))
    client: Any = FakeClient()
    test = data.evaluation("test")
    ranks = served_ranks(client, "rank", data, test)
    ids = data.items["item_id"].gather(test.target_items).to_list()
    assert ranks.tolist() == [{"i8": 1.0, "i7": 2.0}.get(item, np.inf) for item in ids]
    first, moment = min(client.sent, key=lambda each: each[1])
    assert first.item_ids == [f"i{step}" for step in range(7)]
    assert first.quantities == [2.0] * 7
    assert moment == (70_000 if timed else 0)
    assert first.times_ms == ([10_000 * step for step in range(7)] if timed else ())


def test_what_only_counts_is_measured_once_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(_: Path, work: Path, out: Path) -> object:
        assert out == work / "data"
        return log(work, time="t", split="global-time", quantile=0.7, targets="last")

    tiny = Suite("quality-tiny.json", prepare, [Entry("cf", 1)], targets=("last", "successive"))
    monkeypatch.setattr(bench, "SUITES", {"tiny": tiny})
    monkeypatch.setattr(quality.__main__, "SUITES", {"tiny": tiny})
    folders = [f"--{name}={tmp_path}" for name in ("data", "work", "out")]
    for _ in range(2):
        quality.__main__.main(["tiny", "--kept", *folders])
        monkeypatch.setattr(bench, "counted_ranks", None)  # the second time it is done
    rows = json.loads((tmp_path / tiny.out).read_text())["rows"]
    assert [(r["model"], r["targets"]) for r in rows] == [
        (name, targets) for name in ("popularity", "transitions") for targets in ("last", "successive")
    ]
    assert {r["users"] for r in rows} == {8}
    assert rows[2]["hr10"] == 1.0  # everybody takes the next step


def test_rows_whose_model_or_option_is_not_there_are_left_out() -> None:
    models = PluginHost.load().models
    assert missing(Entry("cf", 1), models) == ""
    assert missing(Entry("no_such", 1), models) == "no plugin offers model 'no_such'"
    assert missing(Entry("cf", 1, option={"wings": 2}), models) == "model 'cf' has no option wings"


def test_what_an_entry_needs_comes_with_it_and_without_it_the_entry_goes(capsys: pytest.CaptureFixture[str]) -> None:
    host: Any = SimpleNamespace(models=dict(PluginHost.load().models))
    entries = [Entry("cf", 1), Entry("gru", 1), Entry("joint", 1, over=("cf", "gru"))]
    assert chosen(Suite("x", lambda *_: None, entries), ["joint"], host) == entries
    del host.models["gru"]
    assert chosen(Suite("x", lambda *_: None, entries), ["joint"], host) == entries[:1]
    assert "joint is left out: it ranks what gru would retrieve" in capsys.readouterr().out


def test_what_stands_twice_retrieves_by_two_runs_whose_seeds_no_other_row_shares() -> None:
    entry = Entry("joint", 1, over=("gru", "cf", "gru"))
    assert entry.members(0) == [("gru", 0), ("cf", 0), ("gru", 1)]
    assert entry.members(2) == [("gru", 4), ("cf", 2), ("gru", 5)]


def test_every_suite_has_a_word_a_section_and_entries_that_its_pairs_name() -> None:
    words = set(re.findall(r"^\t\$\(QUALITY\) (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert words == set(SUITES) == set(quality_page.SECTIONS)
    for suite in SUITES.values():
        names = [entry.name for entry in suite.entries]
        assert len(set(names)) == len(names)
        assert {name for pair in suite.pairs for name in pair} <= set(names)
        assert all(names.index(over) < names.index(entry.name) for entry in suite.entries for over in entry.over)
