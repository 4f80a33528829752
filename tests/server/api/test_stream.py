"""The batch stream answers in order, reads while it writes, and loses no batch-mate to a bad row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_status.rpc_status import aio as rich_status

from honeyguide.sdk.errors import Unavailable
from honeyguide.v1.errors_pb2 import ERROR_REASON_INTERNAL, ERROR_REASON_INVALID_FIELD
from honeyguide.v1.event_service_pb2 import Event, RecordEventsRequest
from honeyguide.v1.history_pb2 import History, ModelVersion
from honeyguide.v1.model_service_pb2 import LoadModelRequest, UnloadModelRequest
from honeyguide.v1.recommender_service_pb2 import (
    USER_STATE_ANONYMOUS,
    USER_STATE_INLINE,
    USER_STATE_STORED,
    Filter,
    RecommendRequest,
    RecommendStreamRequest,
    RecommendStreamResponse,
    StreamOptions,
    UserBatch,
    UserRow,
)


def options(**given: Any) -> RecommendStreamRequest:
    return RecommendStreamRequest(options=StreamOptions(**given))


def batch(sequence: int, *rows: UserRow) -> RecommendStreamRequest:
    return RecommendStreamRequest(batch=UserBatch(sequence=sequence, rows=rows))


def row(*items: int) -> UserRow:
    return UserRow(history=History(item_ids=[f"item-{item}" for item in items]))


async def ask(running: Any, messages: Iterable[RecommendStreamRequest]) -> list[RecommendStreamResponse]:
    call = running.recommender.RecommendStream(iter(messages))
    return [answer async for answer in call]


async def refused(running: Any, *messages: RecommendStreamRequest) -> tuple[grpc.StatusCode, str]:
    call = running.recommender.RecommendStream(iter(messages))
    with pytest.raises(grpc.aio.AioRpcError):
        async for _ in call:
            pass
    status = await rich_status.from_call(call)
    assert status is not None
    return await call.code(), status.message


async def test_batches_are_answered_in_order_as_single_calls_are(start: Any) -> None:
    messages = [options(k=5), *(batch(100 + n, *(row(n, m) for m in range(n + 1))) for n in range(12))]
    async with start() as running:
        answers = await ask(running, messages)
        single = await running.recommender.Recommend(RecommendRequest(history=row(11, 4).history, k=5))
    assert [answer.sequence for answer in answers] == list(range(100, 112))
    assert [len(answer.rows) for answer in answers] == list(range(1, 13))
    ranked = answers[11].rows[4].ranked
    assert list(ranked.item_ids) == [item.item_id for item in single.items]
    assert list(ranked.scores) == pytest.approx([item.score for item in single.items], rel=1e-4)
    assert list(ranked.sources) == [item.source for item in single.items]
    assert [(m.name, m.version) for m in answers[0].models] == [("tiny", 1)]


async def test_stored_and_unknown_users_and_the_streams_filter(start: Any) -> None:
    async with start() as running:
        await running.events.RecordEvents(RecordEventsRequest(events=[Event(user_id="u", item_id="item-1")]))
        odd = options(k=40, filter=Filter(any_categories=["odd"]), drop_seen=True)
        (answer,) = await ask(running, [odd, batch(0, UserRow(user_id="u"), UserRow(user_id="nobody"))])
    known, unknown = (set(result.ranked.item_ids) for result in answer.rows)
    assert unknown - known == {"item-1"}
    assert len(unknown) == 30


async def test_an_unknown_category_is_named_once_for_the_batch(start: Any) -> None:
    asked = Filter(any_categories=["ODD", "tea"], ignore_category_case=True)
    async with start() as running:
        answer, of_bad = await ask(
            running, [options(filter=asked), batch(0, row(1), row(2)), batch(1, UserRow(user_id=""))]
        )
    assert list(answer.unknown_categories) == ["tea"]
    assert list(of_bad.unknown_categories) == []
    assert [len(result.ranked.item_ids) for result in answer.rows] == [10, 10]


async def test_a_message_that_cannot_be_read_is_told_with_the_batch_before_it(start: Any) -> None:
    raw = [options(), batch(41, row(1)), None]
    async with start() as running:
        call = running.channel.stream_stream(
            "/honeyguide.v1.RecommenderService/RecommendStream",
            request_serializer=lambda message: b"\xff" if message is None else message.SerializeToString(),
            response_deserializer=RecommendStreamResponse.FromString,
        )(iter(raw))
        assert (await call.read()).sequence == 41
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        info = error_details_pb2.ErrorInfo()
        assert (await rich_status.from_call(call)).details[0].Unpack(info)
    assert (info.reason, info.metadata["after_sequence"]) == ("MALFORMED", "41")


async def test_bad_row_fails_alone(start: Any) -> None:
    bad = UserRow(history=History(item_ids=["item-1"], dwell_seconds=[-1.0]))
    async with start() as running:
        (answer,) = await ask(running, [options(), batch(7, row(1), bad, UserRow(user_id=""), row(2))])
    assert [result.WhichOneof("result") for result in answer.rows] == ["ranked", "error", "error", "ranked"]
    error = answer.rows[1].error
    assert (error.code, error.reason, error.field) == (3, ERROR_REASON_INVALID_FIELD, "history.dwell_seconds")
    assert answer.rows[2].error.field == "user_id"
    assert len(answer.rows[3].ranked.item_ids) == 10


async def test_batch_of_bad_rows_alone_is_answered(start: Any) -> None:
    async with start() as running:
        (answer,) = await ask(running, [options(), batch(7, UserRow(user_id=""))])
    assert answer.rows[0].error.field == "user_id"
    assert [(m.name, m.version) for m in answer.models] == [("tiny", 1)]


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "`options` in the first message"),
        ([batch(0, row(1))], "message is 'batch'; allowed: `options`"),
        ([RecommendStreamRequest()], "`options` in the first message"),
        ([options(k=0)], "k is 0; allowed: 1 to 1,000"),
    ],
)
async def test_malformed_stream_is_refused(start: Any, messages: list[RecommendStreamRequest], says: str) -> None:
    async with start() as running:
        code, message = await refused(running, *messages)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert says in message


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (options(), "`batch` after the first message"),
        (batch(7), "0 users'; allowed: 1 to 256 users"),
        (batch(7, *[row(1)] * 257), "257 users"),
        (batch(7, *[row(1)] * 251), "users x k of at most 20,000: send smaller batches"),
    ],
)
async def test_a_bad_batch_fails_alone_and_is_named(start: Any, bad: RecommendStreamRequest, says: str) -> None:
    async with start() as running:
        first, failed, last = await ask(running, [options(k=80), batch(1, row(1)), bad, batch(3, row(2))])
    assert (failed.sequence, len(failed.rows)) == (bad.batch.sequence, 0)
    assert (failed.error.code, failed.error.reason) == (3, ERROR_REASON_INVALID_FIELD)
    assert says in failed.error.message
    assert [len(answer.rows) for answer in (first, last)] == [1, 1]
    assert not first.HasField("error")


async def test_an_answer_carries_what_a_unary_one_does(start: Any) -> None:
    async with start() as running:
        await running.events.RecordEvents(RecordEventsRequest(events=[Event(user_id="u", item_id="item-1")]))
        rows = [UserRow(user_id="u"), row(2), UserRow(user_id="nobody")]
        odd = options(k=40, filter=Filter(any_categories=["odd"]), drop_seen=True, include_titles=True)
        (answer,) = await ask(running, [odd, batch(0, *rows)])
        (bare,) = await ask(running, [options(), batch(0, row(2))])
    stored, inline, nobody = (result.ranked for result in answer.rows)
    assert [r.user_state for r in (stored, inline, nobody)] == [
        USER_STATE_STORED,
        USER_STATE_INLINE,
        USER_STATE_ANONYMOUS,
    ]
    assert (stored.user_id, inline.HasField("user_id"), nobody.user_id) == ("u", False, "nobody")
    assert (stored.shortfall, nobody.shortfall) == (11, 10)
    assert stored.source_model == "tiny"
    assert [f"Title {item.removeprefix('item-')}" for item in stored.item_ids] == list(stored.titles)
    assert (len(answer.request_id), answer.request_id == bare.request_id) == (32, False)
    assert list(bare.rows[0].ranked.titles) == []


async def test_a_fault_in_one_batch_is_logged_once_under_the_id_that_its_answer_names(start: Any) -> None:
    with structlog.testing.capture_logs() as log:
        async with start() as running:
            pipeline = running.server.pipelines.get()
            compute = pipeline.recommend_parts

            def faulty(queries: list[Any], plan: Any) -> Any:
                return compute(queries, plan) if len(queries) > 1 else {}["secret"]

            pipeline.recommend_parts = faulty
            first, failed, last = await ask(running, [options(), batch(1, row(1), row(2)), batch(2, row(1)), batch(3)])
    assert len(first.rows) == 2
    assert (failed.sequence, failed.error.reason, failed.error.code) == (2, ERROR_REASON_INTERNAL, 13)
    assert "secret" not in failed.error.message
    assert failed.request_id in failed.error.message
    (line,) = [line for line in log if line["log_level"] == "error"]
    assert (line["event"], line["sequence"], line["request_id"]) == ("batch failed", 2, failed.request_id)
    assert (last.sequence, last.error.reason) == (3, ERROR_REASON_INVALID_FIELD)


async def test_an_error_that_ends_two_streams_names_to_each_its_own_batch(start: Any) -> None:
    async with start() as running:
        gone, pipeline = Unavailable("gone"), running.server.pipelines.get()

        def refuse(*given: Any, **options: Any) -> Any:
            time.sleep(0.05)
            raise gone

        pipeline.recommend_parts = refuse
        names = []
        calls = [running.recommender.RecommendStream(iter([options(), batch(n, row(1))])) for n in (4, 5)]
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError, match="gone"):
                await call.read()
            info = error_details_pb2.ErrorInfo()
            assert (await rich_status.from_call(call)).details[0].Unpack(info)
            names.append(info.metadata["sequence"])
    assert names == ["4", "5"]
    assert gone.facts == {}


async def test_server_reads_while_it_writes(start: Any) -> None:
    answered = asyncio.Event()

    async def talk() -> AsyncIterator[RecommendStreamRequest]:
        yield options()
        yield batch(1, row(1))
        await answered.wait()  # the second batch is sent only when the first was answered
        yield batch(2, row(2))

    async with start() as running:
        call = running.recommender.RecommendStream(talk())
        assert (await call.read()).sequence == 1
        answered.set()
        assert (await call.read()).sequence == 2


async def test_pinned_versions_hold_at_the_start_and_after_a_swap(
    start: Any, repository: Path, add_version: Any
) -> None:
    add_version(repository)
    pinned = options(required_models=[ModelVersion(name="tiny", version=2)])
    swapped = asyncio.Event()

    async def talk() -> AsyncIterator[RecommendStreamRequest]:
        yield pinned
        yield batch(1, row(1))
        await swapped.wait()
        yield batch(2, row(1))

    async with start(repository) as running:
        call = running.recommender.RecommendStream(talk())
        assert (await call.read()).models[0].version == 2
        await running.models.LoadModel(LoadModelRequest(name="tiny", version=1))
        swapped.set()
        with pytest.raises(grpc.aio.AioRpcError, match="required_models are tiny/2; tiny/1 serve"):
            await call.read()
        assert await call.code() == grpc.StatusCode.FAILED_PRECONDITION
        info = error_details_pb2.ErrorInfo()
        assert (await rich_status.from_call(call)).details[0].Unpack(info)
        assert (info.reason, info.metadata["sequence"]) == ("MODEL_CHANGED", "2")
        assert (info.metadata["field"], info.metadata["existing"]) == ("required_models", "tiny/1")
        code, message = await refused(running, pinned)
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "tiny/1 serve" in message


async def test_more_batches_than_the_queue_holds_all_pass(start: Any) -> None:
    messages = [options(k=1), *(batch(n, *[row(n % 60)] * 50) for n in range(20))]
    async with start(max_queue_rows=60, max_batch_rows=8) as running:
        answers = await ask(running, messages)
    assert [answer.sequence for answer in answers] == list(range(20))
    assert all(len(answer.rows) == 50 for answer in answers)


async def test_no_more_is_read_while_answers_wait_to_be(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    async def talk() -> AsyncIterator[RecommendStreamRequest]:
        nonlocal read
        yield options(k=60)
        for read in range(1, 7):  # what it has come to is looked at
            yield batch(read, *[row(1)] * 50)

    async with start() as running:
        servicer = running.server._services.streams
        for most, ahead in ((64 << 20, 5), (150_000, 3), (1, 1)):  # a batch makes some 40 kB
            monkeypatch.setattr("honeyguide.server.api.recommender_service._HELD_BYTES", most)
            read, stream = 0, servicer.RecommendStream(talk(), None)
            for sequence in range(1, 7):
                assert RecommendStreamResponse.FromString(await anext(stream)).sequence == sequence
                await asyncio.sleep(0.02)  # the answer is on its way for so long
                assert read <= sequence + ahead
            assert [answer async for answer in stream] == []


async def test_parts_make_way_for_calls(start: Any) -> None:
    async with start() as running:
        pipeline, sizes = running.server.pipelines.get(), []
        compute = pipeline.recommend_parts
        pipeline.recommend_parts = lambda queries, plan=None: sizes.append(len(queries)) or compute(queries, plan)
        await ask(running, [options(), batch(0, *[row(1)] * 100)])
        await running.recommender.Recommend(RecommendRequest(k=1))
        (answer,) = await ask(running, [options(), batch(0, *[row(1)] * 40)])
    assert sorted(sizes[:2]) == [36, 64]
    assert sizes[2] == 1
    assert sorted(sizes[3:]) == [8, 16, 16]
    assert len(answer.rows) == 40


async def test_stream_without_a_model_is_unavailable(start: Any, repository: Path) -> None:
    async with start(repository) as running:
        for name in ("tiny", "tiny_ranker"):
            await running.models.UnloadModel(UnloadModelRequest(name=name))
        code, message = await refused(running, options())
    assert code == grpc.StatusCode.UNAVAILABLE
    assert "no model is loaded" in message
