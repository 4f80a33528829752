"""A call carries its limits and knows whether it is wanted; ids of requests repeat nowhere."""

from __future__ import annotations

import math
import re
import time

from noted_calls import NotedCall

from honeyguide.server.serving.calls import RequestIds
from honeyguide.server.serving.context import RequestContext


def test_a_context_without_a_deadline_waits_for_ever() -> None:
    context = RequestContext("id")
    assert (context.request_id, context.deadline, context.caller) == ("id", math.inf, "")


def test_a_call_that_arrives_is_wanted_and_waits_nowhere() -> None:
    call = NotedCall(b"bytes", "/package.Service/Method", deadline=7.0)
    assert (call.method, call.payload, call.deadline) == ("/package.Service/Method", b"bytes", 7.0)
    assert (call.gone, call.waits) == (False, False)
    assert 0 <= time.monotonic() - call.arrived < 5


def test_ids_have_32_digits_and_differ_between_servers() -> None:
    one, other = RequestIds(), RequestIds()
    ids = [source.new() for source in (one, other) for _ in range(1000)]
    assert len(set(ids)) == 2000
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
