import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.sdk import DataSpec, FeatureScaler, ItemColumn

SCALER = FeatureScaler("dwell_seconds", fill=3.0, lower=0.0, upper=15.0, log=True, mean=1.0, std=2.0)


def test_a_hand_worked_example():
    # 7 → log 8; 100 is lowered to 15 → log 16; -5 is raised to 0 → log 1; NaN becomes 3 → log 4.
    expected = (np.log([8, 16, 1, 4]) - 1) / 2
    found = SCALER(np.array([7, 100, -5, np.nan], np.float32))
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-6)


def test_without_log_it_clips_and_standardises():
    scaler = FeatureScaler("clicks", fill=0.0, lower=0.0, upper=4.0, log=False, mean=2.0, std=0.5)
    assert scaler(np.array([1.0, 9.0, np.nan])).tolist() == [-2.0, 4.0, -4.0]


@given(st.lists(st.floats(width=32)))
def test_the_answer_is_always_finite(values):
    raw = np.array(values, np.float32)
    before = raw.copy()
    assert np.isfinite(SCALER(raw)).all()
    assert np.array_equal(raw, before, equal_nan=True)


@pytest.mark.parametrize(
    "change",
    [
        {"items": 0},
        {"items": "9"},
        {"items": True},
        {"repeats": 1},
        {"fingerprint": None},
        {"event_types": [1]},
        {"event_types": None},
        {"features": [{"name": "clicks"}]},
        {"features": [dataclasses.asdict(SCALER) | {"mean": "1"}]},
        {"item_columns": [{"name": "image"}]},
        {"item_columns": [{"name": "image", "kind": "vector", "width": 0}]},
        {"item_columns": [{"name": "image", "kind": 1, "width": 4}]},
        {"colour": "red"},
    ],
)
def test_a_description_of_other_types_is_refused(change):
    spec = DataSpec(9, repeats=True, has_time=True, event_types=("buy",), features=(SCALER,), fingerprint="f")
    spec = dataclasses.replace(spec, item_columns=(ItemColumn("image", "vector", width=4),))
    plain = dataclasses.asdict(spec)
    assert DataSpec.from_dict(plain) == spec
    with pytest.raises(TypeError):
        DataSpec.from_dict(plain | change)
