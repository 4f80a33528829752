"""What each call says in a training stands in `tests/training/fit/test_training_again.py`."""

import numpy as np
import pytest

from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.errors import ConfigError, PluginError
from honeyguide.sdk.host import PluginHost
from honeyguide.training.plugin_calls import plugin_call, shape_of


def test_a_shape_is_told_of_histories_of_arrays_and_of_a_ranker_s_batch() -> None:
    arrays = {"now": np.zeros(2), "tokens": np.zeros((2, 5)), "features": np.zeros((2, 5, 3))}
    assert shape_of(HistoryBatch.from_lists([[1], [1, 2, 3]])) == "2 users × 3 events"
    assert shape_of(arrays) == "2 users × 5 events"
    assert shape_of({"history": arrays, "candidates": np.zeros((2, 9))}) == "2 users × 5 events with 9 candidates each"
    assert [shape_of(None), shape_of({}), shape_of({"x": 3})] == ["", "", ""]


def test_an_error_of_ours_and_a_stop_go_through_as_they_are(host: PluginHost) -> None:
    model = host.build("tiny", {}, DataSpec(items=3, repeats=True))
    for error in (ConfigError("ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, plugin_call(model, "loss"):
            raise error
        assert raised.value is error
    words = r"^model 'tiny' failed in loss \(ValueError: a b\); its options: width=16, "
    with pytest.raises(PluginError, match=words), plugin_call(model, "loss"):
        raise ValueError("a\n  b")
