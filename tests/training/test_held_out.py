import dataclasses

import numpy as np
import polars as pl
import pytest

from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.errors import DataError
from honeyguide.sdk.metrics import auc, metrics_at
from honeyguide.training import held_out
from honeyguide.training.dataset import Dataset
from honeyguide.training.held_out import check_targets, protocol_words, requests_in_turn


def data(targets: str) -> Dataset:
    """Ann goes on after both cuts (10 and 20), bob begins after the first, cid has one event in the end, dan none."""
    user = [0] * 6 + [1] * 3 + [2] + [3]
    events = pl.DataFrame(
        {
            "user": pl.Series(user, dtype=pl.Int32),
            "item": pl.Series([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4], dtype=pl.Int32),
            "split": pl.Series([0, 0, 1, 2, 2, 2, 1, 1, 2, 2, 0], dtype=pl.Int8),
            "time_ms": pl.Series([1, 2, 12, 21, 22, 22, 13, 14, 23, 24, 3], dtype=pl.Int64),
        }
    )
    names = ["ann", "bob", "cid", "dan"]
    items = pl.DataFrame({"item_id": list("abcdef"), "title": [""] * 6, "categories": [[]] * 6, "popularity": [1] * 6})
    return Dataset(
        name="log",
        spec=DataSpec(items=6, repeats=False, has_time=True),
        split="global-time",
        targets=targets,
        events=events,
        users=pl.DataFrame({"user_id": names}),
        items=items,
    )


def asked(found) -> list[tuple[str, list[int], list[int], int]]:
    """Returns each request as user, history, targets and time."""
    lists = np.split(found.histories.items, found.histories.offsets[1:-1])
    return [
        (found.user_ids[i], lists[i].tolist(), found.target_items[found.target_users == i].tolist(), int(now))
        for i, now in enumerate(found.histories.request_times_ms)
    ]


def test_last_targets_are_asked_for_as_late_as_can_be() -> None:
    assert asked(data("last").evaluation("test")) == [("ann", [0, 1, 2, 3], [4, 5], 22), ("bob", [0, 1], [2], 23)]
    assert asked(data("last").evaluation("validation")) == [("ann", [0, 1], [2], 12), ("bob", [0], [1], 14)]


def test_successive_targets_are_asked_for_one_after_the_other() -> None:
    found = data("successive").evaluation("test")
    assert asked(found) == [
        ("ann", [0, 1, 2], [3], 21),
        ("ann", [0, 1, 2, 3], [4, 5], 22),  # a whole basket
        ("bob", [0, 1], [2], 23),
    ]
    assert found.users == 2
    assert found.weights.tolist() == [0.25, 0.25, 0.5]
    part = found.take(np.array([1, 2]))
    assert part.weights.tolist() == [0.5, 0.5]


def test_all_targets_are_asked_for_at_once() -> None:
    assert asked(data("all").evaluation("test")) == [("ann", [0, 1, 2], [3, 4, 5], 21), ("bob", [0, 1], [2], 23)]
    # An evaluation may ask for others than the data set was prepared for.
    assert asked(data("all").evaluation("test", "last")) == asked(data("last").evaluation("test"))


def test_training_watches_the_last_of_successive_targets() -> None:
    found = data("successive").validation()
    assert asked(found) == asked(data("last").evaluation("validation"))
    assert found.weights is None


def test_figures_are_means_over_users_of_their_means() -> None:
    found = data("successive").evaluation("test")
    ranks, users = np.array([1.0, 99.0, 99.0, 99.0]), found.target_users  # ann's first request alone is a hit
    assert metrics_at(ranks, users, 3, [10], found.weights)["hr@10"] == 0.25
    assert metrics_at(ranks, users, 3, [10])["hr@10"] == pytest.approx(1 / 3)
    last = np.array([1.0, 6.0, 6.0, 6.0])
    assert auc(last, np.arange(4), 4, np.full(4, 6), np.array([0.7, 0.1, 0.1, 0.1])) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("targets", "split", "said"),
    [("first", "global-time", "choose one of all, last"), ("last", "random", "--split global-time")],
)
def test_targets_that_a_split_has_not_are_refused(targets: str, split: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_targets(targets, split)


def test_a_part_in_which_nobody_can_be_asked_is_refused() -> None:
    lone = data("last")
    lone.events = lone.events.filter(pl.col("user") >= 2)
    with pytest.raises(DataError, match="has no test users"):
        lone.evaluation("test")


def test_more_events_than_memory_should_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "_MOST_EVENTS", 3)
    everything = dataclasses.replace(HistoryBatch.from_lists([[0, 1, 2, 3]]), times_ms=np.arange(4))
    given = (everything, np.zeros(4, int), np.ones(4, bool), np.array([0, 2, 2, 2]), 2)
    with pytest.raises(DataError, match=r"3 successive targets have 6 events before them.*\n.*choose last"):
        requests_in_turn(*given, "successive")
    assert requests_in_turn(*given, "last") is not None


def test_protocols_are_named_in_words() -> None:
    assert data("successive").protocol == "global-time, successive targets"
    assert protocol_words("leave-one-out", "all") == "leave-one-out"
