"""Serves RecommendStream: reads ahead of its answers, and has each batch computed in parts between other calls."""

# ruff: noqa: N802  # gRPC names the methods
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import grpc

from honeyguide.sdk.errors import HoneyguideError, InvalidArgument, OverCapacity
from honeyguide.server.api import validation
from honeyguide.server.api.stream_batch import StreamBatch, StreamTools, require_models
from honeyguide.server.serving.queries import RecommendQuery
from honeyguide.v1.recommender_service_pb2 import (
    RecommendStreamRequest,
    StreamOptions,
)

__all__ = ["RecommenderServicer"]

_BATCHES_AHEAD = 4
"""Batches of one stream that are read but not yet answered: enough to keep the queue busy, few enough to stay small."""
_HELD_BYTES = 64 << 20
"""Bytes that all streams together may make the server hold: each has its share, and one batch more."""
_ITEM_BYTES, _TITLE_BYTES = 24, 76
"""What an item of an answer takes, roughly, and its title."""


class RecommenderServicer:
    """Servicer of streams; its answers are bytes."""

    def __init__(self, tools: StreamTools, max_batches: int, max_streams: int) -> None:
        """Takes what batches are answered with; must be called on the event loop.

        Args:
            tools: shared by all batches.
            max_batches: batches of all streams together that wait or are computed, 1 or more; each has up to 256 users.
            max_streams: streams open at the same time.
        """
        self._tools = tools
        self._room = asyncio.Semaphore(max_batches)
        self._open, self._most = 0, max_streams

    async def RecommendStream(
        self,
        request_iterator: AsyncIterator[RecommendStreamRequest],
        context: grpc.aio.ServicerContext[RecommendStreamRequest, bytes],  # noqa: ARG002  # gRPC's
    ) -> AsyncIterator[bytes]:
        """Answers batches in order; reads on while it computes and writes, a few batches ahead."""
        if self._open >= self._most:
            raise OverCapacity(f"{self._open} streams are open, as many as may; try again later", retry_after=1.0)
        self._open += 1
        try:
            async for answer in self._stream(request_iterator):
                yield answer
        finally:
            self._open -= 1

    async def _stream(self, request_iterator: AsyncIterator[RecommendStreamRequest]) -> AsyncIterator[bytes]:
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("message") != "options":
            raise InvalidArgument("message", first and first.WhichOneof("message"), "`options` in the first message")
        options, defaults = first.options, validation.stream_defaults(first.options)
        require_models(options, self._tools.pipelines.get(options.pipeline).plan().models)
        answers: asyncio.Queue[asyncio.Task[bytes] | Exception | None] = asyncio.Queue(_BATCHES_AHEAD)
        tasks: set[asyncio.Task[bytes]] = set()
        held = _Held()
        user_bytes = defaults.k * (_ITEM_BYTES + options.include_titles * _TITLE_BYTES)

        async def read() -> None:
            after = ""
            try:
                async for message in request_iterator:
                    after = str(message.batch.sequence)
                    size = max(message.ByteSize(), len(message.batch.rows) * user_bytes)
                    held.add(size)
                    task = asyncio.create_task(self._answer(message, options, defaults))
                    task.add_done_callback(partial(held.answered, size))
                    tasks.add(task)
                    await answers.put(task)
                    await held.fall_below(lambda: _HELD_BYTES // self._open)
                await answers.put(None)
            except HoneyguideError as error:  # a message that cannot be read has no sequence that can
                await answers.put(error.with_facts(after_sequence=after) if after else error)
            except Exception as error:  # boundary: told after the answers to the batches before it
                await answers.put(error)

        reader = asyncio.create_task(read())
        try:
            while (pending := await answers.get()) is not None:
                if isinstance(pending, Exception):
                    raise pending
                answer = await pending
                yield answer  # goes on once the transport has taken it
                tasks.discard(pending)
                held.add(-len(answer))
        finally:
            for task in (reader, *tasks):
                task.cancel()
            await asyncio.gather(reader, *tasks, return_exceptions=True)

    async def _answer(self, message: RecommendStreamRequest, options: StreamOptions, defaults: RecommendQuery) -> bytes:
        """Has one batch answered once there is room for it, and forgotten where the stream ends first."""
        async with self._room:
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[bytes] = loop.create_future()

            def settle(outcome: bytes | Exception) -> None:
                if answer.done():
                    return
                if isinstance(outcome, bytes):
                    answer.set_result(outcome)
                else:
                    answer.set_exception(outcome)

            batch = StreamBatch(
                self._tools, message, options, defaults, lambda outcome: loop.call_soon_threadsafe(settle, outcome)
            )
            batch.start()
            try:
                return await answer
            finally:
                batch.unwanted = True


class _Held:
    """Count of the bytes that a stream makes the server hold: batches without an answer, answers nobody has read."""

    def __init__(self) -> None:
        self._bytes, self._changed = 0, asyncio.Event()

    def add(self, size: int) -> None:
        """Counts so many bytes more, or less."""
        self._bytes += size
        self._changed.set()

    def answered(self, size: int, task: asyncio.Task[bytes]) -> None:
        """Counts the answer in the place of what was expected of it; one that failed is none."""
        failed = task.cancelled() or task.exception() is not None
        self.add((0 if failed else len(task.result())) - size)

    async def fall_below(self, most: Callable[[], int]) -> None:
        """Returns once there are fewer than ``most`` says."""
        while self._bytes >= most():
            self._changed.clear()
            await self._changed.wait()
