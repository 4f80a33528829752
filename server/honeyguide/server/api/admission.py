"""Lets calls in that run on the event loop, and keeps streams to their caller's pace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from honeyguide.oip.v2.inference_pb2 import ModelInferRequest
from honeyguide.server.access.callers import Caller
from honeyguide.server.access.gate import Credentials, Gate
from honeyguide.server.ops.logs import bind_caller
from honeyguide.v1.recommender_service_pb2 import RecommendStreamRequest

__all__ = ["StreamPace", "admission"]

_MOST_ROWS = 100_000
"""Of one message, whatever it says: above what is taken anyway."""


class StreamPace:
    """What one stream of a caller is held to, message by message."""

    def __init__(self, gate: Gate, method: str, credentials: Credentials, caller: Caller) -> None:
        self._gate, self._method, self._credentials, self._caller = gate, method, credentials, caller

    async def keep(self, message: Any) -> None:
        """Returns when the message may be looked at; raises what ends a stream whose caller is not let in any more."""
        self._gate.check(self._method, self._credentials)
        if seconds := self._caller.limits.delay(_requests_in(message)):
            await asyncio.sleep(seconds)


@contextmanager
def admission(
    gate: Gate | None, method: str, context: grpc.aio.ServicerContext[Any, Any], *, is_stream: bool
) -> Iterator[StreamPace | None]:
    """Lets a call in while the block runs; gives what its messages are held to, None: to nothing.

    Raises `Unauthenticated`, `RoleRequired` or `RateExceeded`.
    """
    if gate is None:
        yield None
        return
    credentials = gate.credentials(context)
    caller = gate.admit(method, credentials)
    if caller is not None:
        bind_caller(caller.name)
    if caller is None or not is_stream:
        yield None
        return
    with caller.limits.stream():
        yield StreamPace(gate, method, credentials, caller)


def _requests_in(message: Any) -> int:
    """Says for how many requests a message of a stream stands: as many as it has users, or says that it has."""
    if isinstance(message, ModelInferRequest):
        rows = max(1, *message.inputs[0].shape[:1]) if message.inputs and message.inputs[0].shape else 1
        return min(int(rows), _MOST_ROWS)
    return len(message.batch.rows) if isinstance(message, RecommendStreamRequest) else 1
