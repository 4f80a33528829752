"""Connections of the web: who says nothing, or slowly, is let go; idle ones keep nobody out; the stop fails no call.

Named here: `connections.py`, `door.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from honeyguide.server.web import application, connections, door

RECOMMEND = "/honeyguide.v1.RecommenderService/Recommend"
KNOWN = {"history": {"itemIds": ["item-3"]}, "k": 3}
HEAD = b"POST /honeyguide.v1.RecommenderService/Recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture
def many_files() -> Iterator[None]:
    """Lets the process have 4,096 files open, where the machine does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("this machine lets a process open fewer than 4,096 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ended(port: int, sent: bytes, more: bytes = b"", every: float = 0.05) -> tuple[bytes, float]:
    """What comes until the server closes, and after how many seconds; ``more`` is sent byte by byte meanwhile."""
    start = monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)

    async def trickle() -> None:
        for byte in more:
            await asyncio.sleep(every)
            writer.write(bytes([byte]))

    task = asyncio.create_task(trickle())
    received = b""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):  # a byte went out after the server had closed
            while part := await reader.read(1 << 16):
                received += part
    task.cancel()
    writer.close()
    return received, monotonic() - start


async def test_who_says_nothing_or_slowly_is_let_go(start: Any, web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.4)
    monkeypatch.setattr(application, "_BODY_SECONDS", 0.5)
    monkeypatch.setattr(door, "_IDLE_SECONDS", 1)
    whole = HEAD + b"content-length: 2\r\n\r\n{}"
    async with start(web_port=0) as running:
        port = running.server.web_port
        nothing, headers, body, kept, again = await asyncio.gather(
            ended(port, b""),
            ended(port, b"", HEAD),
            ended(port, HEAD + b"content-length: 50\r\n\r\n{", b" " * 40),
            ended(port, whole),
            ended(port, whole + HEAD[:20], HEAD[20:]),
        )
        assert (nothing[0], nothing[1] < 2) == (b"", True)
        assert (headers[0], headers[1] < 2) == (b"", True)
        assert body[0].startswith(b"HTTP/1.1 504")
        assert b"DEADLINE_PASSED" in body[0]
        assert (kept[0].count(b"HTTP/1.1 200"), 0.9 < kept[1] < 4) == (1, True)
        assert (again[0].count(b"HTTP/1.1 200"), again[1] < 2) == (1, True)


async def test_a_thousand_idle_connections_keep_nobody_out(start: Any, web: Any, many_files: None) -> None:
    async with start(web_port=0) as running:
        port = running.server.web_port
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1000)]
        answers = await asyncio.gather(*(web.post(port, RECOMMEND, KNOWN) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        for _, writer in idle:
            writer.close()


async def test_large_bodies_are_bounded_together(start: Any, web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "_MOST_HELD_BYTES", 100_000)
    async with start(web_port=0) as running:
        port = running.server.web_port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"content-length: 90001\r\n\r\n" + b" " * 90_000)
        await asyncio.sleep(0.2)
        refused = await web.post(port, RECOMMEND, b" " * 20_000 + b"{}")
        assert (refused.status, refused.reason) == (429, "OVER_CAPACITY")
        assert (await web.post(port, RECOMMEND, KNOWN)).status == 200
        writer.close()
        await asyncio.sleep(0.2)
        assert (await web.post(port, RECOMMEND, b" " * 20_000 + b"{}")).status == 200, "room comes back"


async def test_requests_one_behind_the_other_are_answered_in_order(start: Any, web: Any) -> None:
    async with start(web_port=0) as running:
        sent = b"".join(web.request(RECOMMEND, {"k": k}, connection=c) for k, c in ((1, "keep-alive"), (2, "close")))
        reader, writer = await asyncio.open_connection("127.0.0.1", running.server.web_port)
        writer.write(sent)
        received = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert [part.count(b'"itemId"') for part in received.split(b"HTTP/1.1 200")] == [0, 1, 2]


async def test_the_stop_fails_no_call_and_refuses_new_ones(start: Any, web: Any) -> None:
    async with start(web_port=0) as running:
        port, pipeline, go = running.server.web_port, running.server.pipelines.get(), threading.Event()
        compute = pipeline.recommend_parts

        def waiting(queries: Any, plan: Any = None) -> Any:
            assert go.wait(10)
            return compute(queries, plan)

        pipeline.recommend_parts = waiting
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        under_way = asyncio.create_task(web.post(port, RECOMMEND, KNOWN))
        while running.server.workers._computing == 0:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.005)
        stop = asyncio.create_task(running.server.stop())
        await asyncio.sleep(0.15)
        late = [await web.post(port, path, {}) for path in (RECOMMEND, "/honeyguide.v1.EventService/ListUsers")]
        assert [(answer.status, answer.reason) for answer in late] == [(503, "UNAVAILABLE")] * 2
        await asyncio.sleep(0.2)
        with pytest.raises(OSError, match="Connect call failed"):
            await web.post(port, RECOMMEND, {})
        go.set()
        assert (await under_way).status == 200
        await asyncio.wait_for(stop, 5)
        assert await idle_reader.read() == b""
        idle_writer.close()


async def test_the_stop_waits_for_no_body_that_never_comes(start: Any, web: Any) -> None:
    async with start(web_port=0, drain_seconds=15.0) as running:
        port = running.server.web_port
        halves = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for (_, writer), body in zip(halves, (b"", b'{"k', b"{"), strict=True):
            writer.write(HEAD + b"content-length: 20\r\n\r\n" + body)
        await asyncio.sleep(0.1)
        begun = monotonic()
        await running.server.stop()
        assert monotonic() - begun < 5
        for reader, writer in halves:
            told = await web.receive(reader)
            assert (told.status, told.reason) == (503, "UNAVAILABLE")
            writer.close()


async def test_who_leaves_or_is_late_is_withdrawn_from_the_queue(start: Any, web: Any) -> None:
    async with start(web_port=0, threads=1) as running:
        port, pipeline, go = running.server.web_port, running.server.pipelines.get(), threading.Event()
        compute = pipeline.recommend_parts

        def waiting(queries: Any, plan: Any = None) -> Any:
            assert go.wait(10)
            return compute(queries, plan)

        pipeline.recommend_parts = waiting
        first = asyncio.create_task(web.post(port, RECOMMEND, KNOWN))
        while running.server.workers._computing == 0:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.005)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(web.request(RECOMMEND, KNOWN))
        while running.server.workers.waiting == 0:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.005)
        writer.close()
        late = await web.post(port, RECOMMEND, KNOWN, connect_timeout_ms="100")
        assert (late.status, late.json["code"]) == (504, "deadline_exceeded")
        assert running.server.workers.waiting == 0
        go.set()
        assert (await first).status == 200
        errors = running.server.metrics.errors.labels(RECOMMEND, "CANCELLED")
        assert errors._value.get() == 2
