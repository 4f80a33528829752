from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.sdk.errors import DataError
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


def test_a_quantile_cuts_what_came_after_it_and_again_what_is_left() -> None:
    users, times = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1]), np.array([1, 2, 3, 4, 5, 6, 9, 6, 8, 10])
    # .8 of the times lie at or below 8.2, so test is from 9; of the times below, by users with two: .8 at or below 6.
    assert splits.quantile_cuts(users, times, 0.8) == (7, 9)
    assert splits.global_time(times, 7, 9).tolist() == [0, 0, 0, 0, 0, 0, 2, 0, 1, 2]


def test_a_user_with_one_event_before_the_test_moves_no_cut_of_validation() -> None:
    users, times = np.array([0] * 8 + [1] * 3), np.array([*range(1, 9), 4, 9, 10])
    assert splits.quantile_cuts(users, times, 0.7) == (int(np.quantile(range(1, 8), 0.7)) + 1, 8)


def test_a_quantile_before_which_nobody_has_two_events_is_refused() -> None:
    with pytest.raises(DataError, match=r"nobody has two events before test begins.*\n.*larger --quantile"):
        splits.quantile_cuts(np.array([0, 1, 1, 1]), np.array([1, 2, 3, 4]), 0.3)


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


def test_a_random_split_has_the_shares_and_is_the_same_each_time() -> None:
    parts = splits.random_parts(1000, 0.2, 0.1)
    assert np.bincount(parts).tolist() == [700, 200, 100]
    np.testing.assert_array_equal(parts, splits.random_parts(1000, 0.2, 0.1))
    assert 0 < (parts[:100] == 2).sum() < 30  # spread over the log


@pytest.mark.parametrize(
    ("times", "works"),
    [
        (None, "--split random"),
        ([u + 10 * k for u in range(10) for k in range(3)], "--split global-time or --split random"),
        ([0, 1, 2] * 10, "--split random"),  # the latest tenths are one moment
    ],
)
def test_three_events_a_user_are_refused_with_a_split_that_works(times: list[int] | None, works: str) -> None:
    users = np.repeat(np.arange(10), 3)
    ms = None if times is None else np.array(times)
    with pytest.raises(DataError, match=rf"two baskets of training events.*is 3\n  remedy: {works};"):
        splits.check_trainable(users, ms, splits.leave_one_out(users, ms), "leave-one-out", "log.csv")
    splits.check_trainable(users, ms, splits.random_parts(30, 0.1, 0.1), "random", "log.csv")
    if times and "global" in works:
        cuts = splits.cut_times(ms, 0.1, 0.1)
        splits.check_trainable(users, ms, splits.global_time(ms, *cuts), "global-time", "log.csv")


def test_four_events_of_one_user_are_enough() -> None:
    users = np.array([0, 0, 0, 0, 1])
    splits.check_trainable(users, None, splits.leave_one_out(users, None), "leave-one-out", "log.csv")


def test_a_log_without_evaluation_users_is_refused() -> None:
    users = np.array([0, 0, 1, 1])
    with pytest.raises(DataError, match=r"no user has validation events.*is 2\n  remedy: prepare a longer log"):
        splits.check_trainable(users, None, splits.leave_one_out(users, None), "leave-one-out", "log.csv")


def test_shares_too_small_for_any_event_are_refused_in_words() -> None:
    times = np.arange(30)
    with pytest.raises(DataError, match="nothing lies between"):
        splits.global_time(times, *splits.cut_times(times, 1e-18, 1e-18))
