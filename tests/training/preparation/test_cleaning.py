import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.training.preparation import cleaning
from honeyguide.training.preparation.events import Events, Ledger

NAN = float("nan")
PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60)


def events(users: list[int], items: list[int], **more: list[float]) -> Events:
    columns = {
        "row": np.arange(1, len(users) + 1, dtype=np.uint32),
        "user": np.array(users, np.uint32),
        "item": np.array(items, np.uint32),
    }
    if "time_ms" in more:
        columns["time_ms"] = np.array(more.pop("time_ms"), np.int64)
    columns |= {name: np.array(values, np.float32) for name, values in more.items()}
    names = pl.Series([f"id{i}" for i in range(10)])
    return Events(columns, {"user": names, "item": names})


def account(kept: Events) -> Ledger:
    return Ledger(read=len(kept))


def test_k_core_of_a_hand_worked_example() -> None:
    # item 2 has one event; without it user 1 has one; without that item 1 has one, and user 0 is left with item 0
    users, items = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 0, 0])
    by_user, by_item = cleaning.k_core(users, items, 2, 2)
    assert by_item.tolist() == [False, False, True, False, True, False, False]
    assert by_user.tolist() == [False, False, False, True, False, False, False]


@given(PAIRS, st.integers(1, 4), st.integers(1, 4))
@settings(deadline=None)  # the machine may be busy
def test_k_core_leaves_the_largest_part_that_has_enough(pairs: list[tuple[int, int]], ku: int, ki: int) -> None:
    users = np.array([u for u, _ in pairs], np.int64)
    items = np.array([i for _, i in pairs], np.int64)
    by_user, by_item = cleaning.k_core(users, items, ku, ki)
    assert not (by_user & by_item).any()
    left = list(pairs)
    while True:  # the definition, one event at a time
        u, i = Counter(p[0] for p in left), Counter(p[1] for p in left)
        fewer = [p for p in left if u[p[0]] >= ku and i[p[1]] >= ki]
        if fewer == left:
            break
        left = fewer
    assert [p for p, gone in zip(pairs, by_user | by_item, strict=True) if not gone] == left


@given(PAIRS, st.integers(1, 4), st.integers(1, 4))
@settings(deadline=None)  # the machine may be busy
def test_no_event_is_lost_by_the_k_core(pairs: list[tuple[int, int]], ku: int, ki: int) -> None:
    log = events([u for u, _ in pairs], [i for _, i in pairs])
    ledger = account(log)
    cleaning.drop_sparse(log, ku, ki, ledger)
    assert ledger.read == len(log) + sum(ledger.counts.values())
    assert ledger.kept == len(log)


def test_duplicates_equal_in_every_column_leave_the_first() -> None:
    log = events([0, 0, 0, 0, 0, 1], [1, 2, 1, 1, 2, 1], time_ms=[5, 5, 5, 5, 6, 5], value=[1, NAN, 1, 2, NAN, 1])
    ledger = account(log)
    cleaning.drop_duplicates(log, ledger)
    assert log["row"].tolist() == [1, 2, 4, 5, 6]
    assert ledger.examples == {"exact duplicate": "row 3: user=id0, item=id1, time_ms=5, value=1"}


def test_missing_values_are_equal_in_duplicates() -> None:
    log = events([0, 0], [1, 1], time_ms=[5, 5], value=[NAN, NAN])
    cleaning.drop_duplicates(log, account(log))
    assert len(log) == 1


def test_repeated_pair_without_times_is_an_event() -> None:
    log = events([0, 0], [1, 1])
    cleaning.drop_duplicates(log, account(log))
    assert len(log) == 2


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)), max_size=40))
@settings(deadline=None)  # the machine may be busy
def test_duplicates_are_what_a_set_drops(rows: list[tuple[int, int, int]]) -> None:
    rows.sort(key=lambda r: r[:2])  # by user, then time
    log = events([r[0] for r in rows], [r[2] for r in rows], time_ms=[r[1] for r in rows])
    cleaning.drop_duplicates(log, account(log))
    assert list(zip(log["user"], log["time_ms"], log["item"], strict=True)) == list(dict.fromkeys(rows))


def test_events_out_of_range_are_dropped_by_reason() -> None:
    log = events([0, 0, 0, 0], [1, 2, 3, 4], time_ms=[-1, 5, 5, 10**15], quantity=[1, -2, NAN, 1])
    ledger = account(log)
    cleaning.drop_out_of_range(log, ledger)
    assert log["row"].tolist() == [3]
    assert ledger.counts == {"time before 1970 or after 2100": 2, "negative quantity": 1}


def test_scaler_figures_of_a_hand_worked_example() -> None:
    values = np.array([0, 2, 4, 6, 8, NAN], np.float32)
    scaler = cleaning.fit_scaler("value", values, percentile=75, impute="mean")
    assert (scaler.lower, scaler.upper, scaler.fill, scaler.log) == (2.0, 6.0, 4.0, False)
    # clipped and filled: 2 2 4 6 6 4
    assert scaler.mean == pytest.approx(4.0)
    assert scaler.std == pytest.approx(math.sqrt(16 / 6))


def test_median_takes_the_place_of_missing_dwell() -> None:
    values = np.array([1, 3, 100, NAN], np.float32)
    scaler = cleaning.fit_scaler("dwell_seconds", values, percentile=100, impute="median")
    assert (scaler.lower, scaler.upper, scaler.fill, scaler.log) == (0.0, 100.0, 3.0, True)


@given(st.lists(st.one_of(st.just(NAN), st.integers(0, 10_000).map(float)), min_size=1, max_size=50), st.booleans())
@settings(deadline=None)  # the machine may be busy
def test_scaled_training_values_have_mean_0_and_std_0_or_1(values: list[float], log: bool) -> None:
    raw = np.array(values, np.float32)
    scaled = cleaning.fit_scaler("clicks" if log else "value", raw, 99, "median")(raw)
    assert np.isfinite(scaled).all()
    assert abs(scaled.mean(dtype=np.float64)) < 1e-2
    spread = float(scaled.std(dtype=np.float64))
    assert spread < 1e-2 or abs(spread - 1) < 1e-2 or np.ptp(raw[~np.isnan(raw)]) < 1e-3


def test_feature_without_any_value_scales_to_zero() -> None:
    scaler = cleaning.fit_scaler("clicks", np.array([NAN, NAN], np.float32), 99, "mean")
    assert scaler(np.array([NAN, 5.0])).tolist() == [0.0, 0.0]


def test_unknown_feature_is_refused() -> None:
    with pytest.raises(ValueError, match="no feature"):
        cleaning.fit_scaler("charm", np.zeros(1, np.float32), 99, "mean")


def test_interpolation_stays_between_the_users_own_values() -> None:
    values = np.array([NAN, 1, NAN, NAN, 4, NAN, 9, NAN, 3, NAN, 5], np.float32)
    users = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    at = np.array([0, 10, 20, 30, 40, 50, 0, 1, 4, 5, 5])
    filled = cleaning.interpolate(values, users, at)
    assert filled[[1, 2, 3, 4]].tolist() == [1, 2, 3, 4]
    assert filled[[6, 7, 8]].tolist() == [9, 7.5, 3]
    assert np.flatnonzero(np.isnan(filled)).tolist() == [0, 5, 9]
    assert np.isnan(values[2])


def test_interpolation_between_equal_times_is_the_middle() -> None:
    filled = cleaning.interpolate(np.array([1, NAN, 3], np.float32), np.zeros(3, np.int32), np.full(3, 7))
    assert filled.tolist() == [1, 2, 3]
