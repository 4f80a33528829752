from dataclasses import dataclass

import numpy as np
import pytest

from honeyguide.sdk import DataSpec, HistoryBatch, Model, TensorSpec
from honeyguide.sdk.model import last_event


class Timed(Model):
    """Encodes the seconds since the event before, and how many events there were in all."""

    name = "timed"

    @dataclass(frozen=True)
    class Config:
        max_length: int = 5

    def inputs(self):
        return (
            *super().inputs(),
            TensorSpec("gaps", "float32", ("batch", "length")),
            TensorSpec("now", "int64", ("batch",)),
        )

    def encode(self, batch):
        starts = np.isin(np.arange(len(batch.items)), batch.offsets[:-1])
        gaps = np.where(starts, 0, np.diff(batch.times_ms, prepend=0)).astype(np.float32) / 1000
        return {"tokens": batch.tokens(5), "gaps": batch.padded(gaps, 5), "now": batch.request_times_ms}

    def network(self):
        raise NotImplementedError


@pytest.fixture
def histories() -> HistoryBatch:
    times = np.array([0, 1_000, 4_000, 9_000])
    return HistoryBatch(
        np.arange(4, dtype=np.int32), np.array([0, 3, 4]), times_ms=times, request_times_ms=np.array([7, 8])
    )


def test_the_newest_event_keeps_its_gap_to_the_one_before(histories):
    event = last_event(Timed(Timed.Config(), DataSpec(items=9, repeats=False)), histories)
    assert event["tokens"].tolist() == [[3], [4]]
    assert event["gaps"].tolist() == [[3.0], [0.0]]


def test_inputs_without_a_length_stay_as_they_are(histories):
    event = last_event(Timed(Timed.Config(), DataSpec(items=9, repeats=False)), histories)
    assert event["now"].tolist() == [7, 8]
