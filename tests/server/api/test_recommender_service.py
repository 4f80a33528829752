"""A real server answers every row of the design's input table as the table says.

What a row may hold is decided in `validation.py`.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status.rpc_status import aio as rich_status

from honeyguide.v1.event_service_pb2 import Event, RecordEventsRequest
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.model_service_pb2 import GetModelRequest, LoadModelRequest
from honeyguide.v1.recommender_service_pb2 import (
    SOURCE_CANDIDATE,
    SOURCE_POPULAR,
    SOURCE_RETRIEVED,
    USER_STATE_ANONYMOUS,
    USER_STATE_INLINE,
    USER_STATE_STORED,
    Filter,
    RankRequest,
    RecommendRequest,
    SimilarItemsRequest,
)

NAN = math.nan
KNOWN = History(item_ids=["item-3", "item-5"])
INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


async def refused(call: grpc.aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, str, str, list[Any]]:
    """Returns code, reason, message and the other details of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = await rich_status.from_call(call)
    assert status is not None, caught.value
    info, rest = error_details_pb2.ErrorInfo(), []
    assert status.details[0].Unpack(info)
    assert info.domain == "honeyguide"
    for packed, kind in zip(
        status.details[1:],
        [error_details_pb2.BadRequest if info.reason == "INVALID_FIELD" else error_details_pb2.RetryInfo],
        strict=False,
    ):
        rest.append(kind())
        assert packed.Unpack(rest[-1])
    assert "/" not in status.message.replace("tiny/", "")  # no path
    return caught.value.code(), info.reason, status.message, rest


async def test_known_history_gets_ten_retrieved_items_with_titles(start: Any) -> None:
    async with start() as running:
        answer = await running.recommender.Recommend(RecommendRequest(history=KNOWN))
    assert len({item.item_id for item in answer.items} - {"item-3", "item-5"}) == 10
    assert {item.source for item in answer.items} == {SOURCE_RETRIEVED}
    assert {item.source_model for item in answer.items} == {"tiny"}
    assert answer.items[0].title == answer.items[0].item_id.replace("item-", "Title ")
    assert (answer.shortfall, answer.degraded, len(answer.request_id)) == (0, False, 32)
    assert [(m.name, m.version) for m in answer.models] == [("tiny", 1)]


async def test_unknown_user_gets_popular_items(start: Any) -> None:
    async with start() as running:
        answer = await running.recommender.Recommend(RecommendRequest(user_id="nobody", k=3))
    assert [item.item_id for item in answer.items] == ["item-0", "item-1", "item-2"]
    assert {(item.source, item.source_model) for item in answer.items} == {(SOURCE_POPULAR, "")}


async def test_unknown_items_are_skipped_and_counted(start: Any) -> None:
    async with start() as running:
        known = await running.recommender.Recommend(RecommendRequest(history=KNOWN))
        both = await running.recommender.Recommend(
            RecommendRequest(history=History(item_ids=["item-3", "new", "item-5", "newer"]))
        )
    assert both.unknown_history_items == 2
    assert [i.item_id for i in both.items] == [i.item_id for i in known.items]


async def test_k_above_what_is_left_states_the_shortfall(start: Any) -> None:
    async with start() as running:
        answer = await running.recommender.Recommend(RecommendRequest(history=KNOWN, k=1000))
        few = Filter(allow_item_ids=["item-7", "item-3", "nowhere"])
        filtered = await running.recommender.Recommend(RecommendRequest(history=KNOWN, k=2, filter=few))
    assert (len(answer.items), answer.shortfall) == (58, 942)
    assert ([i.item_id for i in filtered.items], filtered.shortfall) == (["item-7"], 1)


async def test_drop_seen_follows_the_data_unless_asked(start: Any) -> None:
    async with start() as running:
        answer = await running.recommender.Recommend(RecommendRequest(history=KNOWN, k=1000, drop_seen=False))
    assert len(answer.items) == 60


async def test_recorded_event_counts_in_the_very_next_answer(start: Any) -> None:
    async with start() as running:
        popular = await running.recommender.Recommend(RecommendRequest(user_id="u"))
        event = Event(user_id="u", item_id="item-3", event_type="purchase")
        await running.events.RecordEvents(RecordEventsRequest(events=[event]))
        after = await running.recommender.Recommend(RecommendRequest(user_id="u"))
        inline = await running.recommender.Recommend(RecommendRequest(history=History(item_ids=["item-3"])))
    assert {i.source for i in popular.items} == {SOURCE_POPULAR}
    assert [i.item_id for i in after.items] == [i.item_id for i in inline.items]


def _moment(seconds: float) -> int:
    return int((time.time() + seconds) * 1000)


def _events(**columns: Sequence[Any]) -> RecommendRequest:
    return RecommendRequest(history=History(item_ids=["item-1", "item-2"], **columns))


BAD_REQUESTS = [
    ("k", "k is 0; allowed: 1 to 1,000", RecommendRequest(k=0)),
    ("k", "k is 1001; allowed: 1 to 1,000", RecommendRequest(k=1001)),
    ("user_id", "1 to 256 bytes; this has 0", RecommendRequest(user_id="")),
    ("user_id", "1 to 256 bytes; this has 258", RecommendRequest(user_id="é" * 129)),
    ("history.item_ids", "1 to 256 bytes", RecommendRequest(history=History(item_ids=["item-1", ""]))),
    ("history.item_ids", "at most 4,096 events", RecommendRequest(history=History(item_ids=["x"] * 4097))),
    ("history.times_ms", "1 entries'; allowed: 0 or 2", _events(times_ms=[5])),
    ("history.event_types", "0 or 2", _events(event_types=["a", "b", "c"])),
    ("history.clicks", "1 entries'; allowed: 0 or 0", RecommendRequest(history=History(clicks=[1.0]))),
    ("history.event_types", "0 to 64 bytes; this has 65", _events(event_types=["a", "b" * 65])),
    ("history.dwell_seconds", "is -1.0; allowed: finite, 0 or more", _events(dwell_seconds=[NAN, -1.0])),
    ("history.clicks", "is inf", _events(clicks=[1.0, math.inf])),
    ("history.quantities", "is -2.0", _events(quantities=[-2.0, 1.0])),
    ("history.values", "is -inf; allowed: finite", _events(values=[1.0, -math.inf])),
    ("history.times_ms", "one day ahead", _events(times_ms=[1, 2**62])),
    ("history.times_ms", "is -1", _events(times_ms=[-1, 2])),
    ("history.times_ms", "'9, then 8'; allowed: non-decreasing", _events(times_ms=[9, 8])),
    ("request_time_ms", "one day ahead", RecommendRequest(request_time_ms=_moment(2 * 86_400))),
    ("request_time_ms", "one day ahead", RecommendRequest(request_time_ms=-5)),
    ("filter.exclude_item_ids", "at most 10,000", RecommendRequest(filter=Filter(exclude_item_ids=["x"] * 10_001))),
    ("filter.allow_item_ids", "at most 10,000", RecommendRequest(filter=Filter(allow_item_ids=["x"] * 10_001))),
    ("filter.any_categories", "at most 100", RecommendRequest(filter=Filter(any_categories=["x"] * 101))),
    ("filter.any_categories", "1 to 256 bytes", RecommendRequest(filter=Filter(any_categories=[""]))),
]


async def test_fields_out_of_range_are_named_with_value_and_range(start: Any) -> None:
    async with start() as running:
        for field, says, request in BAD_REQUESTS:
            code, reason, message, (bad,) = await refused(running.recommender.Recommend(request))
            assert (code, reason) == (INVALID, "INVALID_FIELD"), field
            assert message.startswith(f"{field} is ")
            assert says in message
            assert bad.field_violations[0].field == field


async def test_every_field_at_fault_is_listed(start: Any) -> None:
    bad = RecommendRequest(
        user_id="", k=0, request_time_ms=-1, history=History(item_ids=["item-1"], clicks=[-1.0], times_ms=[-5])
    )
    bad.filter.any_categories.append("")
    async with start() as running:
        code, reason, message, (listed,) = await refused(running.recommender.Recommend(bad))
    assert (code, reason) == (INVALID, "INVALID_FIELD")
    fields = {violation.field for violation in listed.field_violations}
    expected = {"user_id", "k", "request_time_ms", "history.clicks", "history.times_ms", "filter.any_categories"}
    assert fields == expected
    assert all(field in message for field in expected)


async def test_the_longest_list_of_faults_fits_into_the_trailers(start: Any) -> None:
    long = "\U0001f426" * 300  # four bytes each, and twelve where the status message escapes them
    bad = RecommendRequest(
        user_id=long,
        k=0,
        request_time_ms=-1,
        history=History(
            item_ids=[long, long],
            times_ms=[9, 8, 7],
            event_types=[long],
            dwell_seconds=[-1.0],
            clicks=[-1.0],
            quantities=[-1.0],
            values=[math.inf],
        ),
        filter=Filter(exclude_item_ids=[long], allow_item_ids=[long], any_categories=[long]),
    )
    async with start() as running:
        code, reason, _, (listed,) = await refused(running.recommender.Recommend(bad))
    assert (code, reason) == (INVALID, "INVALID_FIELD")
    assert len(listed.field_violations) == 19
    assert {v.field for v in listed.field_violations} >= {"k", "user_id", "history.values", "filter.any_categories"}


async def test_an_answer_says_what_is_known_of_its_user(start: Any) -> None:
    async with start() as running:
        await running.events.RecordEvents(RecordEventsRequest(events=[Event(user_id="u", item_id="item-3")]))
        ask, rank = running.recommender.Recommend, running.recommender.Rank
        states = [
            (await ask(RecommendRequest(user_id="u"))).user_state,
            (await ask(RecommendRequest(user_id="u", history=KNOWN))).user_state,
            (await ask(RecommendRequest(history=KNOWN))).user_state,
            (await ask(RecommendRequest(user_id="nobody", history=KNOWN))).user_state,
            (await ask(RecommendRequest(user_id="nobody"))).user_state,
            (await ask(RecommendRequest())).user_state,
            (await rank(RankRequest(user_id="u", item_ids=["item-1"]))).user_state,
        ]
    stored, inline, anonymous = USER_STATE_STORED, USER_STATE_INLINE, USER_STATE_ANONYMOUS
    assert states == [stored, stored, inline, inline, anonymous, anonymous, stored]


async def test_limits_themselves_are_allowed(start: Any) -> None:
    requests = [
        RecommendRequest(user_id="é" * 128, k=1000, request_time_ms=_moment(86_000)),
        RecommendRequest(history=History(item_ids=["item-1"] * 4096, values=[-1.5] * 4096, clicks=[NAN] * 4096)),
        RecommendRequest(filter=Filter(exclude_item_ids=["x"] * 10_000, any_categories=["odd"] * 100)),
        RecommendRequest(
            filter=Filter(exclude_item_ids=["x" * 256] * 10_000, allow_item_ids=["item-1"] + ["x" * 256] * 9999)
        ),
        _events(times_ms=[7, 7], event_types=["", "b" * 64], dwell_seconds=[0.0, 3.0]),
    ]
    async with start() as running:
        for request in requests:
            assert (await running.recommender.Recommend(request)).items


@pytest.mark.parametrize(
    ("field", "says", "item_ids"),
    [
        ("item_ids", "0 items'; allowed: 1 to 1,000 items", []),
        ("item_ids", "1001 items", [str(i) for i in range(1001)]),
        ("item_ids", "each item once", ["a", "b", "a"]),
        ("item_ids", "1 to 256 bytes", [""]),
    ],
)
async def test_candidates_out_of_range_are_refused(start: Any, field: str, says: str, item_ids: list[str]) -> None:
    async with start() as running:
        code, _, message, _ = await refused(running.recommender.Rank(RankRequest(item_ids=item_ids)))
    assert code == INVALID
    assert message.startswith(field)
    assert says in message


async def test_rank_scores_the_callers_candidates(start: Any) -> None:
    async with start() as running:
        best = await running.recommender.Recommend(RecommendRequest(history=KNOWN, pipeline="tiny_ranker"))
        ids = [item.item_id for item in best.items]
        ranked = await running.recommender.Rank(
            RankRequest(history=KNOWN, item_ids=["nowhere", *reversed(ids)], pipeline="tiny_ranker")
        )
    assert [item.item_id for item in ranked.items] == ids
    assert {item.source for item in ranked.items} == {SOURCE_CANDIDATE}
    assert ranked.unknown_item_ids == ["nowhere"]


async def test_categories_are_matched_without_case_on_request_and_unknown_ones_named(start: Any) -> None:
    history = History(item_ids=["item-3"])
    async with start() as running:
        for asked, unknown, count in (
            (Filter(any_categories=["odd"]), [], 30),
            (Filter(any_categories=["ODD"]), ["ODD"], 0),
            (Filter(any_categories=["ODD"], ignore_category_case=True), [], 30),
            (Filter(any_categories=["tea", "First", "odd"], ignore_category_case=True), ["tea"], 35),
        ):
            request = RecommendRequest(history=history, k=60, filter=asked, drop_seen=False)
            answer = await running.recommender.Recommend(request)
            assert (list(answer.unknown_categories), len(answer.items)) == (unknown, count)
            near = await running.recommender.SimilarItems(SimilarItemsRequest(item_id="item-0", k=60, filter=asked))
            assert list(near.unknown_categories) == unknown


async def test_similar_items_never_answer_the_item_itself(start: Any) -> None:
    async with start() as running:
        answer = await running.recommender.SimilarItems(SimilarItemsRequest(item_id="item-7", k=1000))
        code, reason, message, _ = await refused(
            running.recommender.SimilarItems(SimilarItemsRequest(item_id="nowhere"))
        )
    assert "item-7" not in {item.item_id for item in answer.items}
    assert (len(answer.items), answer.shortfall, answer.model.name) == (59, 941, "tiny")
    assert all(-1.0001 <= item.score <= 1.0001 for item in answer.items)
    assert (code, reason) == (MISSING, "ITEM_NOT_FOUND")
    assert message == "no item 'nowhere' in model 'tiny', version 1"


async def test_unknown_names_are_answered_with_those_that_exist(start: Any) -> None:
    async with start() as running:
        calls = {
            "no pipeline 'x'; there are: tiny, tiny_ranker": running.recommender.Recommend(
                RecommendRequest(pipeline="x")
            ),
            "no model 'x'; there are: tiny, tiny_ranker": running.models.GetModel(GetModelRequest(name="x")),
            "no version 9 of model 'tiny'; there are: 1": running.models.LoadModel(
                LoadModelRequest(name="tiny", version=9)
            ),
        }
        for want, call in calls.items():
            code, reason, message, _ = await refused(call)
            assert (code, message) == (MISSING, want)
            assert reason.endswith("NOT_FOUND")


class Brake:
    """Stands before a server's default pipeline: notes the batches and can hold them."""

    def __init__(self, running: Any) -> None:
        pipeline = running.server.pipelines.get()
        compute = pipeline.recommend_parts
        self.batches: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()

        def braked(queries: Sequence[Any]) -> Any:
            self.batches.append(len(queries))
            self.begun.set()
            assert self.go.wait(10)
            return compute(queries)

        pipeline.recommend_parts = braked

    async def hold(self, running: Any) -> asyncio.Task[Any]:
        """Lets one call occupy the thread that computes."""
        call = asyncio.create_task(_wait(running.recommender.Recommend(RecommendRequest(history=KNOWN))))
        await asyncio.to_thread(self.begun.wait, 10)
        return call


async def _wait(call: Any) -> Any:
    return await call


async def test_over_capacity_is_refused_at_once_with_a_delay(start: Any) -> None:
    async with start(max_queue_rows=2, max_queue_seconds=60, threads=1) as running:
        brake = Brake(running)
        calls = [await brake.hold(running)]
        calls += [
            asyncio.create_task(_wait(running.recommender.Recommend(RecommendRequest(history=KNOWN)))) for _ in range(2)
        ]
        while running.server.workers._waiting < 2:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.005)
        begin = time.perf_counter()
        code, reason, _, (retry,) = await refused(running.recommender.Recommend(RecommendRequest(history=KNOWN)))
        assert time.perf_counter() - begin < 1
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVER_CAPACITY")
        assert retry.retry_delay.ToNanoseconds() > 0
        brake.go.set()
        assert [len(answer.items) for answer in await asyncio.gather(*calls)] == [10, 10, 10]


async def test_expired_and_cancelled_calls_are_not_computed_and_their_mates_are(start: Any) -> None:
    async with start(threads=1, max_queue_seconds=60) as running:
        brake = Brake(running)
        first = await brake.hold(running)
        expired = running.recommender.Recommend(RecommendRequest(history=KNOWN), timeout=0.05)
        cancelled = running.recommender.Recommend(RecommendRequest(history=KNOWN))
        mate = asyncio.create_task(_wait(running.recommender.Recommend(RecommendRequest(history=KNOWN, k=4))))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await expired
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(10):
            while running.server.workers._waiting > 1:  # noqa: ASYNC110  # until the server has heard of both
                await asyncio.sleep(0.005)
        brake.go.set()
        assert len((await first).items) == 10
        assert len((await mate).items) == 4
        assert brake.batches == [1, 1]


async def test_configured_pipelines_rank_or_not_and_name_the_default(start: Any) -> None:
    pipelines = {
        "raw": {"model": "tiny_ranker", "rank": False},
        "ranked": {"model": "tiny_ranker", "drop_seen": False},
    }
    async with start(pipelines=pipelines, default_pipeline="ranked") as running:
        answers = {
            name: await running.recommender.Recommend(RecommendRequest(history=KNOWN, pipeline=name, k=60))
            for name in ("raw", "ranked", "")
        }
    assert len(answers["raw"].items) == 58
    assert len(answers["ranked"].items) == 60
    assert [i.item_id for i in answers[""].items] == [i.item_id for i in answers["ranked"].items]


async def test_twenty_concurrent_calls_get_their_own_answers(start: Any) -> None:
    requests = [RecommendRequest(history=History(item_ids=[f"item-{n}"]), k=n % 7 + 1) for n in range(20)]
    async with start() as running:
        one_by_one = [await running.recommender.Recommend(request) for request in requests]
        together = await asyncio.gather(*(_wait(running.recommender.Recommend(request)) for request in requests))
    assert [[i.item_id for i in a.items] for a in together] == [[i.item_id for i in a.items] for a in one_by_one]
    assert len({a.request_id for a in together}) == 20


async def test_diversity_rule_reorders_and_still_answers_k(start: Any) -> None:
    pipelines = {
        "plain": {"model": "tiny"},
        "varied": {"model": "tiny", "rules": [{"name": "diversity", "options": {"trade_off": 0.3}}]},
    }
    async with start(pipelines=pipelines) as running:
        plain = await running.recommender.Recommend(RecommendRequest(history=KNOWN, pipeline="plain"))
        varied = await running.recommender.Recommend(RecommendRequest(history=KNOWN, pipeline="varied"))
    assert not varied.degraded
    assert len({item.item_id for item in varied.items} - {"item-3", "item-5"}) == 10
    assert [i.item_id for i in varied.items] != [i.item_id for i in plain.items]
