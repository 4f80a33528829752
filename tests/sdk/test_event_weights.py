import numpy as np
import pytest

from honeyguide.sdk import DataSpec, FeatureScaler, HistoryBatch
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.event_weights import event_weights

DATA = DataSpec(
    items=4,
    repeats=True,
    event_types=("view", "purchase"),
    features=(FeatureScaler("dwell_seconds", 0.0, 0.0, 9.0, log=False, mean=0.0, std=1.0),),
)
EVENTS = HistoryBatch(
    items=np.arange(3, dtype=np.int32),
    offsets=np.array([0, 3]),
    features={"dwell_seconds": np.array([0.0, 2.0, -1e6], np.float32)},
    event_types=np.array([0, 1, 2], np.int32),  # unknown, view, purchase
)


def test_without_a_rule_all_count_alike() -> None:
    assert event_weights(EVENTS, DATA, "") is None


def test_a_feature_weighs_twice_its_sigmoid() -> None:
    weights = event_weights(EVENTS, DATA, "dwell_seconds")
    np.testing.assert_allclose(weights, [1.0, 2.0 / (1.0 + np.exp(-2.0)), 0.0], rtol=1e-6)


def test_a_type_weighs_what_it_was_given_and_others_one() -> None:
    weights = event_weights(EVENTS, DATA, "purchase:3")
    assert weights is not None
    assert weights.tolist() == [1.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("clicks", "the data's features: dwell_seconds, and the data's event types: view, purchase"),
        ("look:2", "'look:2'; the data's event types: view, purchase"),
        ("view:0", "'0' is no weight; allowed: numbers above 0"),
        ("view:much", "'much' is no weight"),
    ],
)
def test_what_the_data_lacks_is_named_with_what_it_has(rule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        event_weights(EVENTS, DATA, rule)
