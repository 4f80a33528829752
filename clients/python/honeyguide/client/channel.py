"""Holds what both clients share: address, channel options, rpcs by name, deadlines, the stream's bookkeeping."""

from __future__ import annotations

import functools
import inspect
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from honeyguide.client import messages
from honeyguide.client.answers import BatchAnswer
from honeyguide.client.errors import DeadlineError, InputError, InternalError
from honeyguide.v1 import event_service_pb2_grpc, model_service_pb2_grpc, recommender_service_pb2_grpc

__all__ = ["DEFAULT_TARGET", "OPTIONS", "Deadline", "StreamBook", "dressed", "no_answer", "rpcs"]

M = TypeVar("M", bound=Callable[..., object])

DEFAULT_TARGET = "127.0.0.1:50051"
"""Where `honeyguide serve` listens unless told otherwise."""

OPTIONS = (
    # gRPC waits 1 s before it dials again, and every try until then fails at once: our backoff would try in vain.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
)


def rpcs(channel: Any) -> dict[str, Any]:
    """Gives every rpc of the three services by its name; the channel is a sync or an asyncio one."""
    stubs = (
        recommender_service_pb2_grpc.RecommenderServiceStub(channel),
        event_service_pb2_grpc.EventServiceStub(channel),
        model_service_pb2_grpc.ModelServiceStub(channel),
    )
    return {name: rpc for stub in stubs for name, rpc in vars(stub).items()}


def dressed(method: M, describe: Callable[..., object]) -> M:
    """Gives a method the name, text and parameters of the call it carries out, so that `help` shows them."""
    functools.update_wrapper(method, describe)
    signature = inspect.signature(describe)
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]  # functions take attributes
        parameters=[self, *signature.parameters.values()], return_annotation=inspect.Signature.empty
    )
    return method


class Deadline:
    """Counts down from `seconds`, which tries and the waits between them share."""

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise InputError(f"timeout is {seconds!r}; allowed: seconds above 0", field="timeout")
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, 0 or more."""
        return max(self._end - time.monotonic(), 0.0)


class StreamBook:
    """Numbers a stream's batches and checks that each is answered once, in order, with a row for each user."""

    def __init__(self, window: int) -> None:
        if window < 1:
            raise InputError(f"window is {window!r}; allowed: 1 or more batches", field="window")
        self._window = window
        self._next = 0
        self._waiting: deque[tuple[int, int]] = deque()  # (sequence, users)

    def sent(self, users: int) -> int:
        """Numbers the next batch of so many users."""
        self._next += 1
        self._waiting.append((self._next - 1, users))
        return self._next - 1

    @property
    def full(self) -> bool:
        """Whether an answer must come before another batch may go."""
        return len(self._waiting) >= self._window

    @property
    def waiting(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._waiting)

    def answered(self, response: Any) -> BatchAnswer:
        """Reads an answer; None or grpc's EOF stands for a stream that ended early."""
        sequence, users = self._waiting.popleft()
        if not hasattr(response, "sequence"):
            raise InternalError(f"the stream ended before batch {sequence} was answered", reason="STREAM_ENDED")
        answer = messages.batch_answer(response)
        if answer.sequence != sequence or len(answer.rows) != users:
            raise InternalError(
                f"batch {sequence} of {users} users was answered as batch {answer.sequence} with {len(answer.rows)} "
                "rows; the server breaks the protocol",
                reason="BAD_ANSWER",
            )
        return answer


def no_answer(target: str, seconds: float) -> DeadlineError:
    """Reports a batch that was not answered in time."""
    return DeadlineError(
        f"{target} did not answer a batch within {seconds:g} s", remedy="send smaller batches, or raise `timeout`"
    )
