"""What is done in Python for each request stays little: calls are counted, so that no machine's speed decides.

Counted are the calls of functions, Python's and C's, that a batch of requests takes from bytes to bytes. A budget is
what it took when it was written, and a tenth more. Where a change needs more, it says so here, and why.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from noted_calls import NotedCall

from honeyguide.sdk.host import PluginHost
from honeyguide.server.access.gate import Gate, credentials_of
from honeyguide.server.access.tokens import new_token
from honeyguide.server.api.event_service import EventRecorder
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.api.unary import UnaryMethods
from honeyguide.server.api.writing import AnswerWriter
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.settings import make_settings
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendRequest

BATCH = 64
INLINE = RecommendRequest(history=History(item_ids=[f"item-{n}" for n in range(40)]), k=10)
STORED = RecommendRequest(user_id="u", k=10)


class Ended(NotedCall):
    """Call that takes nothing to end."""

    def respond(self, payload: bytes) -> None:
        self.outcome = payload


def calls_of(work: Any) -> int:
    """Counts the calls of functions that some work takes."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:  # the interpreter's signature
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    ("request_", "pipeline", "each", "fixed"),
    [(INLINE, "tiny", 41, 340), (INLINE, "tiny_ranker", 41, 390), (STORED, "tiny", 40, 345)],
    ids=["inline", "ranked", "stored"],
)
def test_a_request_takes_few_calls_and_a_batch_few_more(
    shared_repository: Path, host: PluginHost, tmp_path: Path, request_: Any, pipeline: str, each: int, fixed: int
) -> None:
    repository, metrics = Repository(shared_repository, host, Runtime(1, 1), cache_users=10), Metrics()
    repository.load_newest()
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record([StoredEvent("u", f"item-{n}", 1000 + n) for n in range(40)]).result()
        pipelines = Pipelines(make_settings(), host, repository, store, metrics)
        methods = UnaryMethods(pipelines, EventRecorder(store, metrics), metrics, Outcomes(metrics), AnswerWriter())
        asked = RecommendRequest()
        asked.CopyFrom(request_)
        asked.pipeline = pipeline

        def batch(count: int) -> int:
            calls = [Ended(asked.SerializeToString(), methods.paths[0]) for _ in range(count)]
            taken = calls_of(lambda: methods.answer(calls))
            assert all(isinstance(call.outcome, bytes) for call in calls)
            return taken

        for count in (1, BATCH):
            batch(count)  # pieces, caches and look-ups are made
        one, many = batch(1), batch(BATCH)
    for_each = (many - one) / (BATCH - 1)
    assert for_each <= each
    assert one <= fixed


def test_a_gate_takes_few_calls_for_each_request() -> None:
    """Without callers there is none: `Gate.of` returns None, which is all that a request looks at."""
    token = new_token()
    caller = {"roles": ["recommend"], "sha256": token.sha256, "requests_per_second": 1e6}
    settings, metrics = make_settings(callers={"shop": caller}), Metrics()
    gate = Gate.of(settings, metrics)
    assert gate is not None
    metadata = [("user-agent", "grpc"), ("authorization", f"Bearer {token.token}")]
    path = "/honeyguide.v1.RecommenderService/Recommend"
    assert calls_of(lambda: gate.admit(path, credentials_of(metadata))) <= 31
    assert Gate.of(make_settings(), metrics) is None
