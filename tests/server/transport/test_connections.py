"""The settings of connections reach the transports: age, idleness, calls at a time, keepalive, pings of the client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from honeyguide.server.settings import Settings
from honeyguide.server.transport.grpcio import _options
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendRequest, RecommendStreamRequest, StreamOptions
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceStub

both = pytest.mark.parametrize("transport", ["native", "grpcio"])
READY = grpc.ChannelConnectivity.READY
REQUEST = RecommendRequest(history=History(item_ids=["item-3"]))
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and empty settings
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + b"honeybee"


@asynccontextmanager
async def silent(running: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Opens a connection that speaks HTTP/2 for one moment and then answers nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port)
    writer.write(HELLO)
    yield reader, writer
    writer.close()


@pytest.mark.parametrize(
    ("setting", "ends"),
    [("max_connection_age_seconds", True), ("max_connection_idle_seconds", True), ("min_ping_seconds", False)],
)
async def test_a_connection_ends_at_its_age_or_when_idle(start: Any, setting: str, ends: bool) -> None:
    async with start(**{setting: 0.1}) as running:
        await running.recommender.Recommend(REQUEST)
        assert running.channel.get_state() == READY
        change = asyncio.ensure_future(running.channel.wait_for_state_change(READY))
        await asyncio.wait([change], timeout=3 if ends else 0.4)
        assert change.done() == ends
        change.cancel()
        assert len((await running.recommender.Recommend(REQUEST)).items) == 10  # over a new one


@both
async def test_a_connection_has_so_many_calls_at_a_time(start: Any, transport: str) -> None:
    alone = {"threads": 1, "max_batch_rows": 1, "max_queue_seconds": 60}
    async with start(transport=transport, max_concurrent_streams=2, **alone) as running:
        workers = running.server.workers
        await running.recommender.Recommend(REQUEST)  # the client knows the limit from now on
        pipeline, go = running.server.pipelines.get(), threading.Event()
        compute = pipeline.recommend_parts
        pipeline.recommend_parts = lambda *given, **named: compute(*given, **named) if go.wait(10) else ()
        calls = [running.recommender.Recommend(REQUEST) for _ in range(3)]
        async with asyncio.timeout(5):
            while workers._computing + workers._waiting < 2:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)  # time for a third
        assert workers._computing + workers._waiting == 2
        go.set()
        assert [len(answer.items) for answer in await asyncio.gather(*calls)] == [10] * 3


@both
async def test_a_burst_on_one_connection_is_held_back_and_not_refused(start: Any, transport: str) -> None:
    async with start(transport=transport, max_concurrent_streams=8, max_queue_seconds=60) as running:
        await running.recommender.Recommend(REQUEST)  # the client knows the limit from now on
        answers = await asyncio.gather(*(running.recommender.Recommend(REQUEST) for _ in range(300)))
        assert {len(answer.items) for answer in answers} == {10}


@both
async def test_who_does_not_answer_a_keepalive_is_closed(start: Any, transport: str) -> None:
    async with start(transport=transport, keepalive_seconds=0.1, keepalive_timeout_seconds=0.1) as running:
        await running.recommender.Recommend(REQUEST)
        async with silent(running) as (reader, _):
            await asyncio.wait_for(reader.read(), 3)  # to the end: the server closed it
        await asyncio.sleep(0.2)
        assert running.channel.get_state() == READY  # who answers stays


@pytest.mark.parametrize(("seconds", "stays"), [(0.001, True), (60, False)])
async def test_a_client_pings_as_often_as_it_may(start: Any, seconds: float, stays: bool) -> None:
    async with start(min_ping_seconds=seconds) as running, silent(running) as (reader, writer):
        for _ in range(6):
            writer.write(PING)
            await asyncio.sleep(0.02)
        rest = asyncio.ensure_future(reader.read())
        await asyncio.wait([rest], timeout=0.2 if stays else 3)
        assert rest.done() != stays
        rest.cancel()


@pytest.mark.parametrize(
    ("settings", "lives"),
    [
        ({"transport": "grpcio", "min_ping_seconds": 0.1}, True),
        ({"transport": "grpcio"}, False),  # 5 s, five times as long as this client leaves
        ({"transport": "native"}, True),
    ],
)
async def test_an_idle_stream_lives_while_its_client_pings_no_more_than_it_may(
    start: Any, settings: dict[str, Any], lives: bool
) -> None:
    # The library itself leaves a second between two pings; the third that comes too early ends the connection.
    pinging = [("grpc.keepalive_time_ms", 100), ("grpc.http2.max_pings_without_data", 0)]
    async with (
        start(**settings) as running,
        grpc.aio.insecure_channel(f"127.0.0.1:{running.server.port}", options=pinging) as channel,
    ):
        call = RecommenderServiceStub(channel).RecommendStream()
        await call.write(RecommendStreamRequest(options=StreamOptions(k=3)))
        if lives:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call.read(), 4.5)  # cancels the call, too
            return
        with pytest.raises(grpc.aio.AioRpcError, match=r"(?i)too.many.pings") as caught:
            await asyncio.wait_for(call.read(), 9)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_clients_may_ping_every_ten_seconds() -> None:
    """The least that grpc-go and grpc-java do; twice as often, so that no hurried ping counts against them."""
    options = dict(_options(Settings(), is_behind=False))
    assert options["grpc.http2.min_ping_interval_without_data_ms"] == 5000
    assert (
        dict(_options(Settings(min_ping_seconds=30), is_behind=False))["grpc.http2.min_ping_interval_without_data_ms"]
        == 30_000
    )
