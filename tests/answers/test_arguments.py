"""What callers give is taken for what it plainly means, and the rest is refused by field and value."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from honeyguide.answers import Event, History, ModelVersion, UserRow
from honeyguide.answers.arguments import (
    ArgumentError,
    as_event,
    as_events,
    as_flag,
    as_history,
    as_id,
    as_ids,
    as_moment,
    as_user_row,
    as_users,
    as_versions,
    as_whole,
)

MOMENT = datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
MOMENT_MS = 1_577_836_800_000


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("007", "007"),
        (12352, "12352"),
        (-1, "-1"),
        (12352.0, "12352"),
        (np.int64(7), "7"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.float32(7.0), "7"),
        (np.str_("a"), "a"),
        (Fraction(4, 2), "2"),
        (2**53, "9007199254740992"),
    ],
)
def test_an_id_is_text_or_a_whole_number(given, text):
    assert as_id("user_id", given) == text


@pytest.mark.parametrize(
    "given",
    [True, np.True_, None, b"a", 1.5, math.nan, math.inf, 1e19, 10**300, Decimal(1), ["a"], {}, "\ud800", object()],
)
def test_what_is_no_id_is_named(given):
    with pytest.raises(
        ArgumentError, match=r"^user_id is .*; allowed: (an id: text, or a whole|text of whole)"
    ) as caught:
        as_id("user_id", given)
    assert (caught.value.field, caught.value.value) == ("user_id", given)


def test_remedies_say_what_to_write():
    for given, remedy in ((b"a", "value.decode()"), (None, "leave out"), (math.nan, "leave out")):
        with pytest.raises(ArgumentError) as caught:
            as_id("user_id", given)
        assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "given",
    [["1", "2"], ("1", "2"), [1, "2"], [1.0, 2.0], iter(["1", "2"]), np.array([1, 2]), np.array(["1", "2"]),
     pl.Series([1, 2]), {"1": 0, "2": 0}.keys(), range(1, 3)],
)  # fmt: skip
def test_lists_of_ids_may_be_any_iterable(given):
    assert as_ids("exclude", given) == ["1", "2"]


@pytest.mark.parametrize("given", ["12", b"12", 12, None, {"1": 2}, np.array(1), 1.5])
def test_one_value_is_no_list(given):
    with pytest.raises(ArgumentError, match=r"exclude is .*; allowed: a list of ids"):
        as_ids("exclude", given)


def test_an_entry_that_is_no_id_is_named_by_its_place():
    with pytest.raises(ArgumentError, match=r"^exclude\[1\] is None; allowed: an id"):
        as_ids("exclude", ["a", None])
    with pytest.raises(ArgumentError, match=r"^exclude\[0\] is "):
        as_ids("exclude", ["\ud800"])


def test_whole_numbers_of_every_kind():
    assert [as_whole("k", k) for k in (5, 5.0, np.int8(5), np.float64(5), Fraction(5))] == [5] * 5
    for wrong in ("5", 5.5, math.nan, math.inf, None, True, [5], 10**10):
        with pytest.raises(ArgumentError, match=r"^k is .*; allowed: a whole number"):
            as_whole("k", wrong)


def test_a_moment_is_milliseconds_or_has_a_zone():
    assert (
        as_moment("time_ms", MOMENT_MS) == as_moment("time_ms", MOMENT) == as_moment("t", float(MOMENT_MS)) == MOMENT_MS
    )
    assert as_moment("time_ms", datetime(1969, 12, 31, 23, 59, 59, 999_500, UTC)) == -1
    for wrong in (MOMENT.replace(tzinfo=None), date(2020, 1, 1), "2020-01-01", 1.5, None, np.datetime64("2020-01-01")):
        with pytest.raises(ArgumentError, match=r"^time_ms is .*whole milliseconds .*or a datetime with a time zone"):
            as_moment("time_ms", wrong)
    with pytest.raises(ArgumentError) as caught:
        as_moment("time_ms", MOMENT.replace(tzinfo=None))
    assert "value.replace(tzinfo=timezone.utc)" in caught.value.remedy


def test_flags_are_true_or_false():
    assert [as_flag("explain", value) for value in (True, False, np.True_, np.bool_(0))] == [True, False, True, False]
    for wrong in (1, 0, "yes", None, [True]):
        with pytest.raises(ArgumentError, match=r"^explain is .*; allowed: True or False"):
            as_flag("explain", wrong)


def test_a_history_is_columns_or_ids():
    assert as_history("history", [22423, "a"]) == {"item_ids": ["22423", "a"]}
    columns = as_history("history", History([1, 2], times_ms=[0, MOMENT], event_types=["view", ""], values=[None, 1]))
    assert (columns["item_ids"], list(columns["times_ms"]), columns["event_types"]) == (
        ["1", "2"],
        [0, MOMENT_MS],
        ["view", ""],
    )
    assert math.isnan(columns["values"][0])
    assert columns["values"][1] == 1.0
    assert set(columns) == {"item_ids", "times_ms", "event_types", "values"}
    for wrong, field in (
        (History("ab"), "history.item_ids"),
        (History(["a"], times_ms=["2020-01-01"]), "history.times_ms[0]"),
        (History(["a"], times_ms=5), "history.times_ms"),
        (History(["a"], event_types="view"), "history.event_types"),
        (History(["a"], event_types=[None]), "history.event_types[0]"),
        (History(["a"], clicks=["1"]), "history.clicks[0]"),
        (5, "history"),
    ):
        with pytest.raises(ArgumentError) as caught:
            as_history("history", wrong)
        assert caught.value.field == field


def test_users_of_a_batch():
    assert as_user_row("u", 7) == ("7", None)
    assert as_user_row("u", UserRow(7, [8])) == ("7", {"item_ids": ["8"]})
    assert as_user_row("u", UserRow()) == (None, None)
    assert as_users("batch", iter(["a"])) == ["a"]
    for wrong in (None, ["a"], History(["a"])):
        with pytest.raises(ArgumentError, match=r"^u is .*; allowed: a user: an id, or a UserRow") as caught:
            as_user_row("u", wrong)
        assert "UserRow(history=…)" in caught.value.remedy


def test_events_and_their_fields():
    fields = as_event("", Event(7, 8.0, time_ms=MOMENT, value=np.float32(1.5), event_id=9))
    assert (fields["user_id"], fields["item_id"]) == ("7", "8")
    assert (fields["time_ms"], fields["value"], fields["event_id"], fields["clicks"]) == (MOMENT_MS, 1.5, "9", None)
    with pytest.raises(ArgumentError) as caught:
        as_events(Event("a", "b"))
    assert caught.value.remedy == "put it into a list"
    for wrong, field in (
        ([{"user_id": "a"}], "events[0]"),
        ([Event("a", "b", clicks="1")], "events[0].clicks"),
        ("a", "events"),
    ):
        with pytest.raises(ArgumentError) as caught:
            as_events(wrong)
        assert caught.value.field == field


def test_versions_are_named():
    assert as_versions("required_models", [ModelVersion("cf", 1)]) == [ModelVersion("cf", 1)]
    with pytest.raises(ArgumentError, match=r"^required_models\[0\] is 'cf'; allowed: a ModelVersion"):
        as_versions("required_models", ["cf"])


def test_a_value_that_cannot_be_written_is_named_by_its_type():
    class Odd:
        def __repr__(self):
            raise RuntimeError

    with pytest.raises(ArgumentError, match="user_id is a value of Odd; allowed"):
        as_id("user_id", Odd())
    with pytest.raises(ArgumentError, match="user_id is a value of int; allowed"):
        as_id("user_id", 10**5000)
