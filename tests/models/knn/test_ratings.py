import numpy as np
import pytest

from honeyguide.models.knn.ratings import RatingModel, RatingOptions, Ratings
from honeyguide.sdk import DataSpec, FeatureScaler, HistoryBatch
from honeyguide.sdk.errors import ConfigError

TYPED = DataSpec(items=4, repeats=True, event_types=("view", "buy"))
EVENTS = HistoryBatch(
    items=np.array([0, 2, 0, 1], np.int32), offsets=np.array([0, 3, 4]), event_types=np.array([1, 1, 2, 0], np.int32)
)


class Plain(RatingModel):
    name = "plain"
    Config = RatingOptions

    def network(self):
        raise NotImplementedError


def test_an_event_counts_for_less_with_each_newer_one() -> None:
    model = Plain(RatingOptions(max_length=2, recency=0.5), TYPED)
    arrays = model.encode(EVENTS)
    np.testing.assert_array_equal(arrays["tokens"], [[3, 1], [0, 2]])
    np.testing.assert_array_equal(arrays["weights"], np.array([[0.5, 1.0], [0.0, 1.0]], np.float32))
    assert arrays["weights"].dtype == np.float32


def test_a_rating_is_what_the_event_weighs() -> None:
    model = Plain(RatingOptions(recency=1.0, event_weight="buy:3,view:0.5"), TYPED)
    np.testing.assert_array_equal(model.encode(EVENTS)["weights"], [[0.5, 0.5, 3.0], [0.0, 0.0, 1.0]])


def test_of_several_events_with_an_item_the_heaviest_rates_it() -> None:
    ratings = Ratings.of(EVENTS, TYPED, "buy:3,view:0.5")
    assert [column.tolist() for column in ratings] == [[0, 0, 1], [0, 2, 1], [3.0, 0.5, 1.0]]
    assert Ratings.of(EVENTS, TYPED, "").values.tolist() == [1.0, 1.0, 1.0]


def test_a_feature_rates_too_and_an_unknown_one_is_refused() -> None:
    scaler = FeatureScaler("dwell_seconds", 0.0, 0.0, 9.0, log=False, mean=0.0, std=1.0)
    data = DataSpec(items=4, repeats=True, features=(scaler,))
    events = HistoryBatch.from_lists([[0, 1]])
    dwelt = HistoryBatch(events.items, events.offsets, features={"dwell_seconds": np.array([0.0, 50.0], np.float32)})
    assert Ratings.of(dwelt, data, "dwell_seconds").values.tolist() == pytest.approx([1.0, 2.0])
    with pytest.raises(ConfigError, match="option 'event_weight' is 'clicks'; the data's features: dwell_seconds"):
        Ratings.of(dwelt, data, "clicks")


@pytest.mark.parametrize(("option", "value"), [("recency", 0.0), ("recency", 1.1), ("max_length", 0)])
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}; allowed"):
        RatingOptions(**{option: value})
