"""Answers ModelStreamInfer: each message waits as a call of ModelInfer does, and is answered in its turn."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from time import monotonic
from typing import Any

import grpc

from honeyguide.oip.v2 import inference_pb2 as pb
from honeyguide.sdk.errors import OverCapacity
from honeyguide.server.oip.wire import INFER
from honeyguide.server.serving.calls import Failure, RequestIds, ServerCall
from honeyguide.server.serving.workers import Workers

__all__ = ["InferStreams"]

_AHEAD = 64
"""Messages of one stream that are read and not yet answered."""
_HELD_BYTES = 32 << 20
"""Bytes of these, about, as long as there is more than one."""
_FINAL = "triton_final_response"
"""Parameter of an answer that says that no other follows to the same request; clients count requests by it."""


class InferStreams:
    """Streams of one server."""

    def __init__(self, workers: Workers, request_ids: RequestIds, max_streams: int) -> None:
        """Takes who answers; ``max_streams``: streams open at the same time."""
        self._workers, self._request_ids = workers, request_ids
        self._open, self._most = 0, max_streams

    async def answer(
        self, requests: AsyncIterator[pb.ModelInferRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.ModelStreamInferResponse, None]:
        """Answers each request in its turn; one that fails has an answer that says why."""
        if self._open >= self._most:
            raise OverCapacity(f"{self._open} streams are open, as many as may; try again later", retry_after=1.0)
        self._open += 1
        left = context.time_remaining()
        deadline = math.inf if left is None else monotonic() + left
        calls: asyncio.Queue[_StreamCall | Exception | None] = asyncio.Queue(_AHEAD)
        room = _Room(_HELD_BYTES)
        begun: set[_StreamCall] = set()

        async def read() -> None:
            try:
                async for request in requests:
                    call = _StreamCall(self._request_ids.new(), deadline, context.peer() or "", request)
                    await room.take(len(call.payload))
                    begun.add(call)
                    self._workers.put(call)
                    await calls.put(call)
                await calls.put(None)
            except Exception as error:  # boundary: told after the answers to the messages before it
                await calls.put(error)

        reader = asyncio.create_task(read())
        try:
            while (call := await calls.get()) is not None:
                if isinstance(call, Exception):
                    raise call
                yield _answer(call, await call.future)
                begun.discard(call)
                room.give(len(call.payload))
        finally:
            self._open -= 1
            reader.cancel()
            for call in begun:
                if not call.future.done():
                    self._workers.withdraw(call)
            await asyncio.gather(reader, return_exceptions=True)


class _StreamCall(ServerCall):
    """Message of a stream, as the workers take it."""

    __slots__ = ("_loop", "client_id", "future", "model_name")

    def __init__(self, request_id: str, deadline: float, caller: str, request: pb.ModelInferRequest) -> None:
        super().__init__(request_id, deadline, caller, INFER, request.SerializeToString())
        self.client_id, self.model_name = request.id, request.model_name
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[bytes | Failure] = self._loop.create_future()

    def respond(self, payload: bytes) -> None:
        self._loop.call_soon_threadsafe(self._settle, payload)

    def fail(self, failure: Failure) -> None:
        self._loop.call_soon_threadsafe(self._settle, failure)

    def _settle(self, outcome: bytes | Failure) -> None:
        if not self.future.done():
            self.future.set_result(outcome)


class _Room:
    """Bytes that one stream may make the server hold; one message always may be."""

    def __init__(self, most: int) -> None:
        self._most, self._held, self._freed = most, 0, asyncio.Event()

    async def take(self, size: int) -> None:
        """Returns once there is room."""
        while self._held and self._held + size > self._most:
            self._freed.clear()
            await self._freed.wait()
        self._held += size

    def give(self, size: int) -> None:
        """Frees what was taken."""
        self._held -= size
        self._freed.set()


def _answer(call: _StreamCall, outcome: bytes | Failure) -> pb.ModelStreamInferResponse:
    if isinstance(outcome, Failure):
        told = pb.ModelInferResponse(id=call.client_id, model_name=call.model_name)
        return pb.ModelStreamInferResponse(error_message=outcome.message, infer_response=told)
    answer = pb.ModelStreamInferResponse()
    answer.infer_response.ParseFromString(outcome)
    answer.infer_response.parameters[_FINAL].bool_param = True
    return answer
