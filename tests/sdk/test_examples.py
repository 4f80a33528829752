import numpy as np
import pytest

from honeyguide.sdk import DataSpec, FeatureScaler
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.sdk.examples import example_histories

FULL = DataSpec(
    items=9,
    repeats=True,
    has_time=True,
    event_types=("view", "buy"),
    features=tuple(FeatureScaler(name, 0.0, 0.0, 9.0, False, 0.0, 1.0) for name in EVENT_FEATURES),
)


def test_examples_have_every_column_of_the_data_and_no_other():
    full, plain = example_histories(FULL, [3, 1, 4]), example_histories(DataSpec(items=9, repeats=True), [3, 1, 4])
    assert full.lengths.tolist() == plain.lengths.tolist() == [3, 1, 4]
    assert set(full.features) == set(EVENT_FEATURES)
    assert full.event_types is not None
    assert full.event_types.max() <= 2
    assert (plain.features, plain.event_types, plain.times_ms, plain.request_times_ms) == ({}, None, None, None)


def test_both_ends_of_the_catalogue_occur_and_some_times_are_equal():
    examples = example_histories(FULL, [2, 2], seed=3)
    assert (examples.items[0], examples.items[-1]) == (0, 8)
    assert examples.times_ms is not None
    assert examples.request_times_ms is not None
    assert examples.times_ms[0] == examples.times_ms[1]
    assert (np.diff(examples.times_ms) >= 0).all()
    assert (examples.request_times_ms > examples.times_ms.max()).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_seeds_give_equal_examples(seed):
    first, second = (example_histories(FULL, [5, 6], seed) for _ in range(2))
    assert first.items.tolist() == second.items.tolist()
    assert (first.items.tolist() == example_histories(FULL, [5, 6], 2).items.tolist()) is False
