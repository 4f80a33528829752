"""Events become columns in the numbers of a model; of what a request does not say, all is as if it were not known."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.sdk import DataSpec, FeatureScaler
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers, TypeNumbers
from honeyguide.server.serving.event_columns import EventColumns, InlineHistory, inline_columns

DWELL = FeatureScaler("dwell_seconds", fill=3.0, lower=0.0, upper=10.0, log=False, mean=1.0, std=2.0)
SPEC = DataSpec(items=3, repeats=False, has_time=True, event_types=("view", "buy"), features=(DWELL,))
NEGATIVE = TypeNumbers(["return"])
FULL = InlineHistory(
    ["b", "gone"],
    np.array([5, 6]),
    ["buy", "return"],
    {"dwell_seconds": np.array([5.0, np.nan], np.float32), "clicks": np.ones(2, np.float32)},
)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(["a", "b", "c"], [""] * 3, np.array([1, 2, 3]), {})


def read(catalogue: Catalogue, *histories: InlineHistory, spec: DataSpec = SPEC) -> EventColumns:
    lengths = [len(history.item_ids) for history in histories]
    moments = np.array([100 + place for place in range(len(histories))]) if spec.has_time else None
    numbers = StoreNumbers(catalogue, spec.event_types)
    return inline_columns(histories, lengths, moments, catalogue, numbers, spec, NEGATIVE)


def test_who_says_less_is_not_told_what_others_say(catalogue: Catalogue) -> None:
    events = read(catalogue, InlineHistory(["a"]), FULL, InlineHistory(["c", "a"]))
    assert events.rows.tolist() == [0, 1, -1, 2, 0]
    assert events.times_ms is not None
    assert events.times_ms.tolist() == [100, 5, 6, 102, 102]
    assert events.event_types is not None
    assert events.event_types.tolist() == [0, 2, 0, 0, 0]
    assert events.dislikes is not None
    assert events.dislikes.tolist() == [False, False, True, False, False]
    assert {name: column.tolist() for name, column in events.features.items()} == {"dwell_seconds": [1, 2, 1, 1, 1]}


def test_what_the_model_does_not_know_is_not_read(catalogue: Catalogue) -> None:
    events = read(catalogue, FULL, spec=DataSpec(items=3, repeats=False))
    assert (events.times_ms, events.event_types, events.features) == (None, None, {})
    assert events.rows.tolist() == [1, -1]


def test_columns_are_joined_and_taken_together(catalogue: Catalogue) -> None:
    both = read(catalogue, FULL).joined(read(catalogue, InlineHistory(["c"])))
    together = read(catalogue, FULL, InlineHistory(["c"]))
    assert together.times_ms is not None
    together.times_ms[2] = 100  # alone it was the first request
    some = np.array([2, 0])
    for one, two in ((both, together), (both.take(some), together.take(some))):
        for own, other in zip(one[:4], two[:4], strict=True):
            np.testing.assert_array_equal(own, other)
        np.testing.assert_array_equal(one.features["dwell_seconds"], two.features["dwell_seconds"])
    assert both.take(some).rows.tolist() == [2, 1]
