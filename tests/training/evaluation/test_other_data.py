from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide import training
from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.errors import DataError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.training.dataset import Dataset
from honeyguide.training.evaluation.other_data import as_known
from honeyguide.training.evaluation.rules import _ranks
from honeyguide.training.evaluation.stages import StageRanks

ROWS = """u,a,1,buy,5
u,b,2,view,9
u,new,3,view,1
u,c,4,buy,7
u,d,5,gift,3
v,a,1,view,2
v,c,2,buy,4
v,b,3,buy,4
v,newer,4,buy,6
w,new,1,buy,1
w,newer,2,buy,1
w,a,3,buy,1
w,b,4,buy,1
"""
"""Of whose items "new" and "newer" are unknown; leave-one-out takes the last as test and the one before to validate."""


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    (tmp_path / "log.csv").write_text("user_id,item_id,t,type,price\n" + ROWS)
    return training.prepare(
        tmp_path / "log.csv", out=tmp_path / "new", time="t", event_type="type", value="price", repeats="no"
    )


@pytest.fixture
def old(tmp_path: Path) -> Dataset:
    rows = [
        f"x{u},{item},{10 + time},{('buy', 'view')[u % 2]},{u + 1}"
        for u in range(6)
        for time, item in enumerate("dcba")
    ]
    (tmp_path / "old.csv").write_text("user_id,item_id,t,type,price\n" + "\n".join(rows) + "\n")
    return training.prepare(
        tmp_path / "old.csv", out=tmp_path / "old", time="t", event_type="type", value="price", repeats="no"
    )


def test_items_types_and_features_are_those_of_the_run(data: Dataset, old: Dataset) -> None:
    ids = old.items["item_id"]
    other = as_known(data, "test", old.spec, ids, Path("run"))
    rows = other.held_out.histories.items
    histories = np.split(ids.to_numpy()[rows], other.held_out.histories.offsets[1:-1])
    assert [list(h) for h in histories] == [["a", "b", "c"], ["a", "c", "b"], ["a"]]  # "new" and "newer" are left out
    assert other.held_out.user_ids == ("u", "v", "w")
    targets = [None if row < 0 else ids[int(row)] for row in other.held_out.target_items]
    assert targets == ["d", None, "b"]
    names = ("", *old.spec.event_types)
    assert [names[t] for t in other.held_out.histories.event_types[:3]] == ["buy", "view", "buy"]
    (price,) = old.spec.features
    np.testing.assert_array_equal(other.held_out.histories.features["value"][:3], price(np.array([5.0, 9.0, 7.0])))
    known = other.known
    assert (known.items_known, known.items_total) == (4, 6)
    assert (known.users_known, known.users_total) == (3, 3)
    assert (known.events_known, known.events_total) == (7, 10)
    assert (known.targets_known, known.targets_total) == (2, 3)
    assert other.items["item_id"].equals(ids)
    training_events = data.events.filter(pl.col("split") == 0)["item"].to_list()
    a = data.items["item_id"].to_list().index("a")
    assert other.items.row(by_predicate=pl.col("item_id") == "a", named=True)["popularity"] == training_events.count(a)


def test_a_user_of_whom_nothing_is_known_is_left_out_and_counted(data: Dataset, old: Dataset) -> None:
    other = as_known(data, "validation", old.spec, old.items["item_id"], Path("run"))
    assert other.held_out.user_ids == ("u", "v")  # w had done nothing but "new" and "newer"
    assert (other.known.users_known, other.known.users_total) == (2, 3)
    assert (other.known.targets_known, other.known.targets_total) == (2, 2)


def test_data_that_lack_what_the_run_reads_are_refused(old: Dataset, tmp_path: Path) -> None:
    plain = training.prepare(tmp_path / "old.csv", out=tmp_path / "plain")
    with pytest.raises(DataError, match=r"'plain' lacks time_ms, event_type, value, which the model in run reads"):
        as_known(plain, "test", old.spec, old.items["item_id"], Path("run"))


def test_a_target_that_is_not_in_the_catalogue_is_a_miss_in_every_stage() -> None:
    histories = HistoryBatch.from_lists([[0], [1]])
    data = EvaluationSet(histories, np.array([0, 0, 1]), np.array([2, -1, -1], np.int32))
    scores = np.array([[0.1, 0.2, 0.9], [0.3, 0.2, 0.1]], np.float32)
    lists = np.array([[2, 1, -1], [0, 2, -1]], np.int32)
    stage = StageRanks.of_scores(scores, data, lists, scores)
    assert stage.ranks.tolist() == _ranks(lists, data).tolist() == [1.0, np.inf, np.inf]
    assert stage.ranked.tolist() == [4, 4]
