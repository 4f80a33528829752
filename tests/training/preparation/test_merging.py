import numpy as np
import polars as pl
import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.training.preparation.events import Events, Ledger
from honeyguide.training.preparation.merging import Repeats, merge_repeats

TYPES = ("view", "cart", "buy")


def log(users: list[int], items: list[int], types: str = "", **features: list[float]) -> Events:
    columns = {
        "row": np.arange(1, len(users) + 1, dtype=np.uint32),
        "user": np.array(users, np.uint32),
        "item": np.array(items, np.uint32),
    }
    ids = {name: pl.Series([f"id{i}" for i in range(10)]) for name in ("user", "item")}
    if types:
        columns["event_type"] = np.array([[name[0] for name in TYPES].index(t) for t in types], np.uint32)
        ids["event_type"] = pl.Series(TYPES)
    return Events(columns | {name: np.array(v, np.float32) for name, v in features.items()}, ids)


def merged(events: Events, choice: str = "detect", merge: str = "", strength: str = "") -> tuple[Repeats, list[int]]:
    ledger = Ledger(read=len(events))
    found = merge_repeats(events, choice, merge, strength, ledger)
    assert ledger.kept == len(events)
    return found, events["row"].tolist()


@pytest.mark.parametrize(
    ("choice", "repeat", "rows"),
    [("yes", True, [1, 2, 3, 4]), ("no", False, [1, 2, 4]), ("detect", True, [1, 2, 3, 4])],
)
def test_returns_stay_only_where_items_repeat(choice: str, repeat: bool, rows: list[int]) -> None:
    found, left = merged(log([0, 0, 0, 1], [1, 2, 1, 1]), choice)
    assert (found.repeat, left) == (repeat, rows)
    assert (found.facts["returns"], found.facts["in_succession"], found.facts["share"]) == (1, 0, 0.25)


def test_direct_succession_is_no_return() -> None:
    found, left = merged(log([0, 0, 0, 1], [1, 1, 1, 1]))
    assert not found.repeat
    assert left == [1, 4]
    assert (found.facts["returns"], found.facts["in_succession"]) == (0, 2)


def test_one_return_in_a_hundred_makes_items_repeat_and_says_that_it_was_close() -> None:
    users, items = np.repeat(np.arange(10), 10).tolist(), list(range(10)) * 10
    few, _ = merged(log([*users, 9], [*items, 0]))  # 1 of 101
    assert not few.repeat
    assert "1.0% of the events are returns" in few.warning
    assert "--repeats yes or no" in few.warning
    enough, _ = merged(log([*users[2:], 9], [*items[2:], 5]))  # 1 of 99
    assert enough.repeat
    assert "nothing seen is masked" in enough.warning


FUNNEL = {"users": [0, 0, 0, 0, 0, 1], "items": [1, 1, 1, 2, 3, 1], "types": "vcbvvc"}


@pytest.mark.parametrize(
    ("merge", "rows"),
    [("", [1, 4, 5, 6]), ("first", [1, 4, 5, 6]), ("last", [3, 4, 5, 6]), ("strongest", [3, 4, 5, 6])],
)
def test_events_of_a_funnel_become_one(merge: str, rows: list[int]) -> None:
    found, left = merged(log(**FUNNEL), merge=merge)  # type: ignore[arg-type]
    assert left == rows
    assert ("--merge last, strongest or sum" in found.warning) is (merge == "")


def test_the_rarer_type_is_stronger_and_the_first_of_equals_stays() -> None:
    events = log([0] * 7, [1, 1, 1, 1, 2, 3, 4], types="vbbvvvc")
    found, left = merged(events, merge="strongest")
    assert left == [2, 5, 6, 7]
    assert found.facts["strength"] == "the rarer type: view < buy < cart"


def test_weights_say_which_type_is_the_strongest() -> None:
    found, left = merged(log([0, 0, 0], [1, 1, 1], types="vcb"), merge="strongest", strength="cart:2, buy:1")
    assert left == [2]
    assert found.facts["strength"] == {"cart": 2.0, "buy": 1.0}


def test_a_feature_may_say_which_is_the_strongest() -> None:
    nan = float("nan")
    events = log([0, 0, 0, 1], [1, 1, 1, 1], value=[1.0, 7.5, nan, nan])
    assert merged(events, merge="strongest")[1] == [2, 4]
    events = log([0, 0, 0], [1, 1, 1], types="vcb", dwell_seconds=[3, 1, 2])
    assert merged(events, merge="strongest", strength="dwell")[1] == [1]


def test_sums_go_to_the_last_event() -> None:
    nan = float("nan")
    events = log([0, 0, 0, 0, 1], [1, 1, 2, 2, 1], value=[1.0, 0.5, nan, nan, 3.0], clicks=[1, nan, 2, 2, 0])
    assert merged(events, "no", merge="sum")[1] == [2, 4, 5]
    np.testing.assert_array_equal(events["value"], np.array([1.5, nan, 3.0], np.float32))
    np.testing.assert_array_equal(events["clicks"], np.array([1, 4, 0], np.float32))


def test_where_items_repeat_only_direct_successions_are_merged() -> None:
    events = log([0, 0, 0, 0, 1], [1, 1, 2, 1, 1], types="vbvvv")
    found, left = merged(events, "yes", merge="strongest")
    assert found.repeat
    assert left == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("strength", "said"),
    [
        ("purchase:3", "names purchase; the log has view, cart, buy"),
        ("buy:much", "write type:weight"),
        ("buy:nan", "write type:weight"),
        ("value", "which the log has not"),
        ("price", "which the log has not"),
    ],
)
def test_a_strength_that_the_log_has_not_is_refused(strength: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        merged(log(**FUNNEL), merge="strongest", strength=strength)  # type: ignore[arg-type]


def test_strongest_needs_something_to_go_by() -> None:
    with pytest.raises(ConfigError, match="--event-type"):
        merged(log([0, 0], [1, 1]), merge="strongest")
