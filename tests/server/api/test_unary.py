"""Calls of several methods and pipelines are answered in one batch, each as if alone (`unary.py`, `outcomes.py`).

Errors become the statuses of `statuses.py`; batches of streams (`stream_batch.py`) are tested in `test_stream`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from noted_calls import NotedCall

from honeyguide.sdk.errors import OverCapacity
from honeyguide.sdk.host import PluginHost
from honeyguide.server.api.event_service import EventRecorder
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.api.unary import UnaryMethods
from honeyguide.server.api.writing import AnswerWriter
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.settings import make_settings
from honeyguide.v1.event_service_pb2 import Event, RecordEventsRequest, RecordEventsResponse
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import (
    Filter,
    RankRequest,
    RankResponse,
    RecommendRequest,
    RecommendResponse,
    SimilarItemsRequest,
    SimilarItemsResponse,
)

KNOWN = History(item_ids=["item-3", "item-5"])
RECOMMEND, RANK, SIMILAR = (
    f"/honeyguide.v1.RecommenderService/{name}" for name in ("Recommend", "Rank", "SimilarItems")
)
RECORD = "/honeyguide.v1.EventService/RecordEvents"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def methods(shared_repository: Path, host: PluginHost, tmp_path: Path, metrics: Metrics) -> Iterator[UnaryMethods]:
    repository = Repository(shared_repository, host, Runtime(1, 1))
    repository.load_newest()
    with SqliteEventStore(tmp_path / "events.db") as store:
        pipelines = Pipelines(make_settings(), host, repository, store, metrics)
        recorder = EventRecorder(store, metrics)
        yield UnaryMethods(pipelines, recorder, metrics, Outcomes(metrics), AnswerWriter())


def call(method: str, request: Any) -> NotedCall:
    return NotedCall(request if isinstance(request, bytes) else request.SerializeToString(), method)


def test_a_mixed_batch_is_answered_call_by_call(methods: UnaryMethods, metrics: Metrics) -> None:
    assert set(methods.paths) == {RECOMMEND, RANK, SIMILAR, RECORD}
    good = call(RECOMMEND, RecommendRequest(history=KNOWN, k=4))
    other = call(RECOMMEND, RecommendRequest(history=KNOWN, k=60, pipeline="tiny_ranker"))
    large = call(RECOMMEND, RecommendRequest(history=KNOWN, k=58, filter=Filter(exclude_item_ids=["item-1"] * 500)))
    bad, broken = call(RECOMMEND, RecommendRequest(k=0)), call(RECOMMEND, b"\xff\xff")
    nowhere = call(RECOMMEND, RecommendRequest(pipeline="nowhere"))
    rank = call(RANK, RankRequest(history=KNOWN, item_ids=["item-1", "gone"]))
    similar, unknown = (call(SIMILAR, SimilarItemsRequest(item_id=item, k=2)) for item in ("item-1", "gone"))
    record = call(RECORD, RecordEventsRequest(events=[Event(user_id="u", item_id="item-1"), Event(user_id="u")]))
    none = call(RECORD, RecordEventsRequest())
    methods.answer([good, bad, rank, other, broken, similar, large, unknown, record, nowhere, none])

    answer = RecommendResponse.FromString(good.result())
    assert (len(answer.items), answer.request_id, answer.models[0].name) == (4, good.request_id, "tiny")
    assert len(RecommendResponse.FromString(other.result()).items) == 58
    excluding = RecommendResponse.FromString(large.result())
    assert (len(excluding.items), excluding.shortfall) == (57, 1)
    assert (bad.result().code, broken.result().code, nowhere.result().code) == (3, 3, 5)
    ranked = RankResponse.FromString(rank.result())
    assert ([item.item_id for item in ranked.items], list(ranked.unknown_item_ids)) == (["item-1"], ["gone"])
    assert len(SimilarItemsResponse.FromString(similar.result()).items) == 2
    assert unknown.result().message == "no item 'gone' in model 'tiny', version 1"
    recorded = RecordEventsResponse.FromString(record.result())
    assert (recorded.accepted, recorded.rejected[0].index) == (1, 1)
    assert none.result().code == 3

    sample = metrics.registry.get_sample_value
    assert sample("honeyguide_requests_total", {"method": RECOMMEND}) == 6
    assert sample("honeyguide_request_seconds_count", {"method": RECOMMEND}) == 6
    assert sample("honeyguide_errors_total", {"method": RECOMMEND, "reason": "INVALID_FIELD"}) == 1
    assert sample("honeyguide_errors_total", {"method": RECORD, "reason": "INVALID_FIELD"}) == 1
    assert sample("honeyguide_batch_rows_sum", {"pipeline": "tiny"}) == 5


def test_light_calls_are_answered_before_what_a_heavy_one_costs(
    methods: UnaryMethods, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline: Any = methods._pipelines.get()
    light, heavy = (call(RECOMMEND, RecommendRequest(history=KNOWN, k=k)) for k in (5, 900))
    asked: list[tuple[list[int], bool]] = []
    compute = pipeline._recommend

    def noted(plan: Any, queries: Any) -> Any:
        asked.append(([query.k for query in queries], light.ended.is_set()))
        return compute(plan, queries)

    monkeypatch.setattr(pipeline, "_recommend", noted)
    methods.answer([heavy, light])
    assert asked == [([5], False), ([900], True)]
    assert light.result()
    assert heavy.result()


def test_a_fault_is_told_to_all_whom_it_concerns_and_logged_under_their_ids(
    methods: UnaryMethods, metrics: Metrics
) -> None:
    pipeline: Any = methods._pipelines.get()
    pipeline.recommend_parts = lambda queries: {}["secret"]
    calls = [call(RECOMMEND, RecommendRequest(history=KNOWN)) for _ in range(2)]
    mate = call(SIMILAR, SimilarItemsRequest(item_id="item-1"))
    with structlog.testing.capture_logs() as log:
        methods.answer([*calls, mate])
    assert isinstance(mate.result(), bytes)
    for each in calls:
        assert each.result().code == 13
        assert "secret" not in each.result().message
        assert each.request_id in each.result().message
    assert {line["request_id"] for line in log if line["event"] == "request failed"} == {c.request_id for c in calls}


def test_what_is_refused_is_counted(methods: UnaryMethods, metrics: Metrics) -> None:
    refused = call(RECOMMEND, b"")
    methods._outcomes.refuse_all([refused], OverCapacity("full", 0.5))
    assert refused.result().code == 8
    labels = {"method": RECOMMEND, "reason": "OVER_CAPACITY"}
    assert metrics.registry.get_sample_value("honeyguide_errors_total", labels) == 1


def test_what_the_full_store_would_refuse_is_refused_unread(
    methods: UnaryMethods, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, asked = [100.0], []

    def refuse(events: list[Any]) -> None:
        asked.append(len(events))
        raise OverCapacity("9 events wait for the disk", 0.5)

    event = Event(user_id="anna", item_id="item-3")
    one, many = RecordEventsRequest(events=[event]), RecordEventsRequest(events=[event] * 50)
    monkeypatch.setattr("honeyguide.server.api.event_service.time.monotonic", lambda: clock[0])
    with monkeypatch.context() as patch:
        patch.setattr(methods._recorder._store, "record", refuse)
        calls = [call(RECORD, many), call(RECORD, one), call(RECORD, b"\xff" * 200), call(RECORD, many)]
        methods.answer(calls)
        assert asked == [50, 1]  # a smaller one might have found room; what is no smaller is not even read
        assert [each.result().code for each in calls] == [8] * 4
        for each in calls:
            assert each.request_id.encode() in each.result().details
    later = call(RECORD, one)
    methods.answer([later])
    assert later.result().code == 8
    clock[0] += 0.02
    again = call(RECORD, many)
    methods.answer([again])
    assert RecordEventsResponse.FromString(again.result()).accepted == 50
