from dataclasses import replace

import numpy as np
import pytest
from small_models import DAY, PLAIN, RICH

from honeyguide.models.sequence.event_arrays import WAITS, encode_events, event_inputs, nearest_waits
from honeyguide.sdk import HistoryBatch

MINUTE = 60_000
TWO_USERS = HistoryBatch(
    items=np.array([4, 5, 6, 7], np.int32),
    offsets=np.array([0, 3, 4]),
    times_ms=np.array([9 * DAY, 9 * DAY + MINUTE, 10 * DAY + MINUTE, 3 * DAY], np.int64),
    features={
        "clicks": np.array([1, 2, 3, 4], np.float32),
        "dwell_seconds": np.array([-1, -2, -3, -4], np.float32),
    },
    event_types=np.array([2, 0, 1, 2], np.int32),
)


def test_events_are_laid_out_in_the_order_of_the_data_with_the_time_since_the_event_before() -> None:
    arrays = encode_events(TWO_USERS, RICH, 8, features=True)
    assert arrays["tokens"].tolist() == [[5, 6, 7], [0, 0, 8]]
    minute, day = np.log1p(60) / 10, np.log1p(86_400) / 10
    expected = [
        [[-1, 1, 0], [-2, 2, minute], [-3, 3, day]],  # dwell, clicks, gap: the first event has none
        [[0, 0, 0], [0, 0, 0], [-4, 4, 0]],
    ]
    np.testing.assert_allclose(arrays["numbers"], np.array(expected), rtol=1e-6)
    assert arrays["numbers"].dtype == np.float32
    assert arrays["types"].tolist() == [[2, 0, 1], [0, 0, 2]]


def test_an_event_whose_elder_is_not_read_has_no_gap() -> None:
    arrays = encode_events(TWO_USERS, RICH, 2, features=True)
    assert arrays["tokens"].tolist() == [[6, 7], [0, 8]]
    np.testing.assert_allclose(arrays["numbers"][:, :, 2], [[0, np.log1p(86_400) / 10], [0, 0]], rtol=1e-6)


def test_a_clock_that_goes_back_makes_no_negative_gap() -> None:
    backwards = replace(TWO_USERS, times_ms=TWO_USERS.times_ms[::-1].copy())  # type: ignore[index]  # it has times
    assert (encode_events(backwards, RICH, 8, features=True)["numbers"][:, :, 2] >= 0).all()


def test_columns_that_a_history_lacks_are_zeros() -> None:
    bare = HistoryBatch.from_lists([[4, 5, 6], [7]])
    arrays = encode_events(bare, RICH, 8, features=True)
    assert arrays["numbers"].shape == (2, 3, 3)
    assert not arrays["numbers"].any()
    assert not arrays["types"].any()


def waits_of(histories: HistoryBatch, length: int = 8) -> list[list[int]]:
    found: list[list[int]] = encode_events(histories, RICH, length, features=False, waits=True)["waits"].tolist()
    return found


def kind_of(seconds: float) -> int:
    return 1 + int(2 * np.log2(1 + seconds))


def test_each_event_tells_how_long_after_it_the_next_one_came_and_the_newest_how_long_ago_it_was() -> None:
    asked = replace(TWO_USERS, request_times_ms=np.array([10 * DAY + 2 * MINUTE + 700, 3 * DAY]))
    minute, day = kind_of(60), kind_of(86_400)
    assert waits_of(asked) == [[minute, day, kind_of(60.7)], [0, 0, 1]]
    assert waits_of(asked, 1) == [[kind_of(60.7)], [1]]
    assert waits_of(TWO_USERS)[0] == [minute, day, 1], "without a request, now is when the newest event happened"
    assert kind_of(0.001) == 1 < kind_of(1) < kind_of(5) < kind_of(30) < minute


def test_events_of_one_moment_have_the_same_next_one() -> None:
    basket = HistoryBatch(
        np.arange(4, dtype=np.int32), np.array([0, 4]), times_ms=np.array([0, 0, MINUTE, MINUTE]),
        request_times_ms=np.array([MINUTE + 1000]),
    )  # fmt: skip
    assert waits_of(basket) == [[kind_of(60), kind_of(60), kind_of(1), kind_of(1)]]
    one_user = replace(TWO_USERS, times_ms=np.full(4, DAY), request_times_ms=np.full(2, DAY + MINUTE))
    assert waits_of(one_user) == [[kind_of(60)] * 3, [0, 0, kind_of(60)]], "another user's events of that moment"


def test_a_wait_of_any_length_has_a_kind_and_what_has_no_times_has_none() -> None:
    for moment in (2**62, -(2**62), 0):
        found = waits_of(replace(TWO_USERS, request_times_ms=np.full(2, moment)))
        assert {kind for row in found for kind in row} <= set(range(WAITS + 1))
    assert waits_of(replace(TWO_USERS, request_times_ms=np.full(2, 2**62)))[0][2] == WAITS
    backwards = replace(TWO_USERS, times_ms=TWO_USERS.times_ms[::-1].copy())  # type: ignore[index]  # it has times
    assert min(waits_of(backwards)[0]) == 1
    assert waits_of(HistoryBatch.from_lists([[4, 5], [7]])) == [[0, 0], [0, 0]]
    assert waits_of(HistoryBatch.from_lists([])) == []


def test_a_wait_that_no_two_events_of_a_user_have_between_them_is_read_as_the_nearest() -> None:
    minute, day = kind_of(60), kind_of(86_400)
    nearest = nearest_waits(TWO_USERS).tolist()
    assert nearest[:2] + nearest[minute : minute + 2] == [0, minute, minute, minute]
    assert (nearest[day], nearest[WAITS]) == (day, day)
    middle = (minute + day) // 2
    assert nearest[middle : middle + 2] == [minute, day]
    assert set(nearest) == {0, minute, day}, "six days lie between two users"
    for unknown in (replace(TWO_USERS, times_ms=np.full(4, DAY)), replace(TWO_USERS, times_ms=None)):
        assert nearest_waits(unknown).tolist() == list(range(WAITS + 1))


@pytest.mark.parametrize(
    ("data", "features", "shapes"),
    [
        (RICH, True, {"tokens": (2, 3), "numbers": (2, 3, 3), "types": (2, 3)}),
        (RICH, False, {"tokens": (2, 3)}),
        (PLAIN, True, {"tokens": (2, 3)}),
        (replace(RICH, event_types=(), features=()), True, {"tokens": (2, 3), "numbers": (2, 3, 1)}),
        (replace(RICH, has_time=False, features=()), True, {"tokens": (2, 3), "types": (2, 3)}),
    ],
)
def test_only_what_the_data_has_is_asked_for(data, features, shapes) -> None:
    arrays = encode_events(TWO_USERS, data, 8, features=features)
    assert {name: array.shape for name, array in arrays.items()} == shapes
    sizes = {"batch": 2, "length": 3}
    described = event_inputs(data, features)
    assert {spec.name: tuple(sizes.get(str(axis), axis) for axis in spec.axes) for spec in described} == shapes
    assert {spec.name: spec.dtype for spec in described} == {name: str(a.dtype) for name, a in arrays.items()}
