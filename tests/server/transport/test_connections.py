"""The settings of connections reach the transports: age, idleness, calls at a time, keepalive, pings of the client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendRequest

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
