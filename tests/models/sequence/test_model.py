from dataclasses import replace

import pytest
from small_models import DAY, PLAIN, RICH, histories, small

from honeyguide.models.sequence.model import SequenceModel


@pytest.mark.parametrize(
    ("name", "options", "clocks"),
    [
        ("attention_lstm", {"gap_to_now": True, "ranker_time": False}, {"waits"}),
        ("attention_lstm", {"gap_to_now": False, "ranker_time": True}, {"ages"}),
        ("transformer", {"gap_to_now": True, "ranker_time": False, "time_bias": True}, {"ages", "waits"}),
        ("transformer", {"gap_to_now": False, "ranker_time": False, "time_bias": False}, set()),
        ("gru", {"ranker_time": False}, set()),
    ],
)
def test_a_model_asks_for_the_clock_that_its_options_read_where_the_data_has_times(
    name: str, options: dict[str, bool], clocks: set[str]
) -> None:
    model = small(name, RICH, **options)
    assert isinstance(model, SequenceModel)
    asked = {spec.name for spec in model.inputs()}
    assert asked & {"ages", "waits"} == clocks
    one = histories(RICH, [[3, 4]])
    assert one.request_times_ms is not None
    now, later = model.encode(one), model.encode(replace(one, request_times_ms=one.request_times_ms + 400 * DAY))
    assert {array for array in asked if (now[array] != later[array]).any()} == clocks
    assert not {"ages", "waits"} & {spec.name for spec in small(name, PLAIN, **options).inputs()}
