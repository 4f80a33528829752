"""Both transports, grpcio and the native front, behave alike: statuses, details, deadlines, sizes, the stop.

Named here: `native.py`, `grpcio.py`, `methods.py`, `services.py`. What differs has a test of its own below.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from honeyguide.server.api.reading import MAX_MESSAGE_BYTES
from honeyguide.server.serving.workers import STOPPING
from honeyguide.v1.event_service_pb2 import Event, ListEventsRequest, RecordEventsRequest
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.model_service_pb2 import ListModelsRequest
from honeyguide.v1.recommender_service_pb2 import (
    RankRequest,
    RecommendRequest,
    RecommendResponse,
    RecommendStreamRequest,
    SimilarItemsRequest,
    StreamOptions,
    UserBatch,
    UserRow,
)

RECOMMEND = "/honeyguide.v1.RecommenderService/Recommend"
KNOWN = History(item_ids=["item-3", "item-5"])
CODE = grpc.StatusCode

both = pytest.mark.parametrize("transport", ["native", "grpcio"])


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, dict[str, Message]]:
    """Returns code, message and details by name; the details' own code and message are the call's."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailing = dict(caught.value.trailing_metadata() or ())
    status = Status.FromString(trailing["grpc-status-details-bin"])
    assert (status.code, status.message) == (caught.value.code().value[0], caught.value.details())
    found: dict[str, Message] = {}
    for part in status.details:
        kind = part.type_url.rpartition(".")[2]
        message = getattr(details, kind)()
        assert part.Unpack(message)
        found[kind] = message
    return caught.value.code(), status.message, found


def held(running: Any) -> threading.Event:
    """Lets the default pipeline wait; set the event to let it go on."""
    pipeline, go = running.server.pipelines.get(), threading.Event()
    compute = pipeline.recommend_parts

    def waiting(queries: Any, plan: Any = None) -> Any:
        assert go.wait(10)
        return compute(queries, plan)

    pipeline.recommend_parts = waiting
    return go


async def waiting(running: Any, count: int) -> None:
    """Returns when so many calls wait for a batch."""
    while running.server.workers._waiting < count:  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0.005)


@both
async def test_every_kind_of_call_is_answered(start: Any, transport: str) -> None:
    async with start(transport=transport) as running:
        answer = await running.recommender.Recommend(RecommendRequest(history=KNOWN, k=4), metadata=[("any", "thing")])
        assert (len(answer.items), len(answer.request_id)) == (4, 32)
        assert len((await running.recommender.Rank(RankRequest(history=KNOWN, item_ids=["item-1"]))).items) == 1
        assert len((await running.recommender.SimilarItems(SimilarItemsRequest(item_id="item-1", k=2))).items) == 2
        events = RecordEventsRequest(events=[Event(user_id="u", item_id="item-1"), Event(user_id="", item_id="item-1")])
        recorded = await running.events.RecordEvents(events)
        assert (recorded.accepted, recorded.rejected[0].index) == (1, 1)
        assert (await running.events.ListEvents(ListEventsRequest(user_id="u"))).total_size == 1
        assert len((await running.models.ListModels(ListModelsRequest())).models) == 2
        batch = UserBatch(sequence=3, rows=[UserRow(history=KNOWN)])
        messages = [RecommendStreamRequest(options=StreamOptions(k=2)), RecommendStreamRequest(batch=batch)]
        rows = [row async for row in running.recommender.RecommendStream(iter(messages))]
        assert [(row.sequence, len(row.rows[0].ranked.item_ids)) for row in rows] == [(3, 2)]
        health = await HealthStub(running.channel).Check(HealthCheckRequest())
        assert health.status == HealthCheckResponse.SERVING
        ask = ServerReflectionRequest(list_services="")
        listed = [answer async for answer in ServerReflectionStub(running.channel).ServerReflectionInfo(iter([ask]))]
        names = {service.name for service in listed[0].list_services_response.service}
        assert "honeyguide.v1.RecommenderService" in names


@both
async def test_every_refusal_has_its_status_and_details(start: Any, transport: str) -> None:
    big = [("grpc.max_send_message_length", -1)]
    async with start(transport=transport) as running:
        recommend = running.recommender.Recommend
        code, message, parts = await refusal(recommend(RecommendRequest(k=0, request_time_ms=-1)))
        assert (code, message) == (CODE.INVALID_ARGUMENT, "request_time_ms is -1; " + message.partition("; ")[2])
        assert [v.field for v in parts["BadRequest"].field_violations] == ["request_time_ms", "k"]
        info = parts["ErrorInfo"]
        assert (info.reason, info.domain, len(info.metadata["request_id"])) == ("INVALID_FIELD", "honeyguide", 32)
        code, _, parts = await refusal(recommend(RecommendRequest(pipeline="nowhere")))
        assert (code, parts["ErrorInfo"].reason) == (CODE.NOT_FOUND, "PIPELINE_NOT_FOUND")
        code, _, parts = await refusal(running.recommender.SimilarItems(SimilarItemsRequest(item_id="nowhere")))
        assert (code, parts["ErrorInfo"].reason) == (CODE.NOT_FOUND, "ITEM_NOT_FOUND")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.server.port}", options=big) as channel:
            raw: Any = channel.unary_unary(RECOMMEND)
            code, _, parts = await refusal(raw(b"\xff\xff\xff"))
            assert (code, parts["ErrorInfo"].reason) == (CODE.INVALID_ARGUMENT, "MALFORMED")
            code, _, parts = await refusal(raw(bytes(MAX_MESSAGE_BYTES + 1)))
            assert (code, parts["ErrorInfo"].reason) == (CODE.INVALID_ARGUMENT, "TOO_LARGE")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/honeyguide.v1.RecommenderService/Nothing")(b"")
            assert caught.value.code() == CODE.UNIMPLEMENTED
        bad = running.server.pipelines.get()
        bad.recommend_parts = lambda queries: {}["secret"]
        code, message, parts = await refusal(recommend(RecommendRequest(history=KNOWN)))
        assert (code, parts["ErrorInfo"].reason) == (CODE.INTERNAL, "INTERNAL")
        assert "secret" not in message
        counted = running.server.metrics.errors.labels(RECOMMEND, "INTERNAL")._value.get()
    assert counted == 1


async def compressed(running: Any, compression: grpc.Compression) -> RecommendResponse:
    address = f"127.0.0.1:{running.server.port}"
    async with grpc.aio.insecure_channel(address, compression=compression) as channel:
        request = RecommendRequest(history=History(item_ids=["item-3"] * 200), k=3)
        return RecommendResponse.FromString(await channel.unary_unary(RECOMMEND)(request.SerializeToString()))


@both
async def test_compressed_requests_are_read(start: Any, transport: str) -> None:
    async with start(transport=transport) as running:
        assert len((await compressed(running, grpc.Compression.Gzip)).items) == 3
        if transport == "grpcio":
            assert len((await compressed(running, grpc.Compression.Deflate)).items) == 3
        else:  # the front knows gzip alone, and says so as gRPC's rules ask
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await compressed(running, grpc.Compression.Deflate)
            assert caught.value.code() == CODE.UNIMPLEMENTED


async def test_packed_zeros_are_inflated_no_further_than_is_read(start: Any) -> None:
    """The native front inflates them whole, which is why it serves this machine alone unless it is told otherwise."""
    gzip, most = grpc.Compression.Gzip, [("grpc.max_send_message_length", -1)]
    async with start(transport="grpcio") as running:
        address = f"127.0.0.1:{running.server.port}"
        async with grpc.aio.insecure_channel(address, most, compression=gzip) as channel:
            code, _, parts = await refusal(channel.unary_unary(RECOMMEND)(bytes(20 * MAX_MESSAGE_BYTES)))
    assert (code, parts["ErrorInfo"].reason) == (CODE.INVALID_ARGUMENT, "TOO_LARGE")


@both
async def test_deadlines_cancellation_and_a_full_queue(start: Any, transport: str) -> None:
    async with start(transport=transport, threads=1, max_queue_rows=2, max_queue_seconds=60) as running:
        go, recommend = held(running), running.recommender.Recommend
        first = asyncio.ensure_future(_wait(recommend(RecommendRequest(history=KNOWN))))
        while not running.server.workers._computing:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.005)
        expired, cancelled = (recommend(RecommendRequest(history=KNOWN), timeout=t) for t in (2, 30))
        await waiting(running, 2)
        code, _, parts = await refusal(recommend(RecommendRequest(history=KNOWN)))
        assert (code, parts["ErrorInfo"].reason) == (CODE.RESOURCE_EXHAUSTED, "OVER_CAPACITY")
        assert parts["RetryInfo"].retry_delay.ToNanoseconds() >= 50_000_000
        cancelled.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await expired
        assert caught.value.code() == CODE.DEADLINE_EXCEEDED
        while running.server.workers._waiting:  # noqa: ASYNC110  # the room of both is free again
            await asyncio.sleep(0.005)
        mate = asyncio.ensure_future(_wait(recommend(RecommendRequest(history=KNOWN, k=4))))
        await waiting(running, 1)
        go.set()
        assert [len(answer.items) for answer in await asyncio.gather(first, mate)] == [10, 4]
        counted = running.server.metrics.errors.labels(RECOMMEND, "CANCELLED")._value.get()
    assert counted == 2


@both
async def test_a_stop_finishes_what_is_under_way_and_refuses_what_comes(start: Any, transport: str) -> None:
    async with start(transport=transport, drain_seconds=10) as running:
        go = held(running)
        under_way = asyncio.ensure_future(_wait(running.recommender.Recommend(RecommendRequest(history=KNOWN))))
        while not running.server.workers._computing:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.005)
        stop = asyncio.ensure_future(running.server.stop())
        await asyncio.sleep(0.15)  # grpcio takes what had arrived for a moment longer, then refuses on open connections
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await running.models.ListModels(ListModelsRequest(), timeout=5)
        assert (told.value.code(), told.value.details()) == (CODE.UNAVAILABLE, STOPPING)
        await asyncio.sleep(0.4)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.recommender.Recommend(RecommendRequest(history=KNOWN), timeout=5)
        assert caught.value.code() == CODE.UNAVAILABLE
        go.set()
        assert len((await under_way).items) == 10
        await stop


async def test_what_stands_behind_the_front_is_closed_to_other_users_and_goes_with_it(start: Any) -> None:
    async with start(transport="native") as running:
        folder = Path(running.server._doors.transport._folder)
        found = await asyncio.to_thread(folder.stat)
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, os.getuid())
        assert await asyncio.to_thread((folder / "grpc.sock").is_socket)
    assert not await asyncio.to_thread(folder.exists)


@both
async def test_a_unix_socket_is_served_and_not_taken_from_a_server(start: Any, transport: str, tmp_path: Path) -> None:
    from honeyguide.sdk.errors import ConfigError

    host = f"unix:{tmp_path}/h.sock"
    async with start(transport=transport, host=host) as running:
        assert running.server.port == 0
        async with grpc.aio.insecure_channel(host) as channel:
            answer = await channel.unary_unary(RECOMMEND)(RecommendRequest(history=KNOWN).SerializeToString())
            assert len(RecommendResponse.FromString(answer).items) == 10
        with pytest.raises(ConfigError, match=rf"cannot listen on {host}: stop what listens there"):
            async with start(transport=transport, host=host):
                pass
    async with start(transport=transport, host=host):  # what a server left that ended is no server
        pass


async def _wait(call: Any) -> Any:
    return await call
