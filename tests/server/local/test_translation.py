"""What a caller in this process gives becomes messages, and answers become the caller's types."""

from __future__ import annotations

import math

import numpy as np
import pytest

from honeyguide import answers
from honeyguide.answers.arguments import as_event, as_history
from honeyguide.sdk.errors import InvalidArgument
from honeyguide.server.local.translation import checked, convert_items, make_event, make_filter, make_history
from honeyguide.server.serving.queries import Answer, ItemSource


def columns(history: object) -> dict[str, object]:
    return as_history("history", history)


def test_a_history_of_arrays_is_one_of_lists() -> None:
    arrays = answers.History(
        np.array(["a", "b"]), times_ms=np.array([1, 2]), quantities=np.array([1.0, np.nan], np.float32)
    )
    message = make_history(as_history("history", arrays))
    assert message is not None
    assert (list(message.item_ids), list(message.times_ms), message.quantities[0]) == (["a", "b"], [1, 2], 1.0)
    assert math.isnan(message.quantities[1])
    assert columns(["a", "b"]) == columns(answers.History(["a", "b"]))
    assert make_history(None) is None


def test_a_value_that_no_field_holds_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="allowed: values that the fields of the API can hold"):
        make_history({"item_ids": ["a"], "times_ms": [1 << 70]})
    with pytest.raises(
        InvalidArgument, match=r"allow is 'a'; allowed: a list of ids; put one value into a list: \['a'\]"
    ):
        checked(make_filter)((), "a", (), False)


def test_an_event_without_an_id_gets_one_of_its_own() -> None:
    event = as_event("", answers.Event("u", "i", value=2.0))
    first, second = make_event(event), make_event(event)
    assert first.event_id
    assert first.event_id != second.event_id
    assert (first.user_id, first.item_id, first.value, first.HasField("clicks")) == ("u", "i", 2.0, False)
    assert make_event(as_event("", answers.Event("u", "i", event_id=""))).event_id == ""


def test_popular_items_are_nobodys() -> None:
    answer = Answer((("m", 1),), "m", ["a", "b"], [2.0, 1.0], [ItemSource.RETRIEVED, ItemSource.POPULAR], ["A", ""])
    first, second = convert_items(answer)
    assert (first.source, first.source_model, first.title, first.because_items) == ("RETRIEVED", "m", "A", ())
    assert (second.source, second.source_model) == ("POPULAR", "")
