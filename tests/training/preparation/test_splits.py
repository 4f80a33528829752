from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.preparation import splits

LOGS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=60).map(sorted)


def test_last_step_is_test_and_the_one_before_validation() -> None:
    users = np.array([0, 0, 0, 0, 3, 3, 3, 3, 3, 5])
    assert splits.leave_one_out(users, None).tolist() == [0, 0, 1, 2, 0, 0, 0, 1, 2, 0]


def test_equal_times_are_one_step() -> None:
    users = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    times = np.array([1, 1, 2, 2, 3, 3, 3, 4])
    # user 1 begins at the time user 0 ends: still a basket of its own; with two baskets it only trains
    assert splits.leave_one_out(users, times).tolist() == [0, 0, 1, 1, 2, 0, 0, 0]
    assert splits.basket_starts(users, times).tolist() == [True, False, True, False, True, True, False, True]


@given(LOGS, st.booleans())
@settings(deadline=None)  # the machine may be busy
def test_leave_one_out_follows_its_definition(log: list[tuple[int, int]], timed: bool) -> None:
    users, times = np.array([u for u, _ in log]), np.array([t for _, t in log])
    parts = splits.leave_one_out(users, times if timed else None)
    by_user = defaultdict(list)
    for place, (user, time) in enumerate(log):
        by_user[user].append((time if timed else place, int(parts[place])))
    for own in by_user.values():
        moments = sorted({m for m, _ in own})
        expected = dict.fromkeys(moments, 0)
        if len(moments) >= 3:
            expected |= {moments[-1]: 2, moments[-2]: 1}
        assert all(part == expected[moment] for moment, part in own)


def test_global_time_cuts_at_the_given_moments() -> None:
    assert splits.global_time(np.array([1, 9, 10, 11, 20]), 10, 20).tolist() == [0, 0, 1, 1, 2]


def test_fractions_become_times_and_equal_times_stay_together() -> None:
    times = np.array([5, 1, 2, 3, 4, 6, 7, 8, 9, 10])
    assert splits.cut_times(times, 0.2, 0.1) == (8, 10)
    level = np.array([1, 1, 1, 2, 2, 2, 2, 3, 3, 3])
    parts = splits.global_time(level, *splits.cut_times(level, 0.4, 0.2))
    assert [sorted(set(parts[level == t].tolist())) for t in (1, 2, 3)] == [[0], [1], [2]]


@given(st.lists(st.integers(0, 1000), min_size=20, unique=True), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
@settings(deadline=None)  # the machine may be busy
def test_fractions_are_kept_where_times_differ(times: list[int], validation: float, test: float) -> None:
    moments = np.array(times)
    parts = splits.global_time(moments, *splits.cut_times(moments, validation, test))
    assert abs((parts == 2).sum() - test * len(times)) <= 1
    assert abs((parts >= 1).sum() - (test + validation) * len(times)) <= 1
    assert moments[parts == 0].max() < moments[parts == 1].min() < moments[parts == 2].max()


@pytest.mark.parametrize(
    ("cuts", "said"),
    [((0, 5), "no event is left for training"), ((5, 9), "for validation|for test"), ((9, 9), "nothing lies between")],
)
def test_empty_parts_are_refused(cuts: tuple[int, int], said: str) -> None:
    with pytest.raises(DataError, match=said):
        splits.global_time(np.array([1, 2, 3]), *cuts)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("978133414", "seconds", 978133414000),
        ("978133414000", "milliseconds", 978133414000),
        ("2000-12-29", "seconds", 978048000000),
        ("2000-12-29T01:00:00+01:00", "datetime", 978048000000),
    ],
)
def test_cut_times_are_numbers_or_dates(text: str, unit: str, expected: int) -> None:
    assert splits.parse_cut(text, unit) == expected


def test_bad_cut_time_is_refused() -> None:
    with pytest.raises(ConfigError, match="Christmas"):
        splits.parse_cut("Christmas", "seconds")
