"""Carries one batch stream: numbers the batches, keeps to the window, checks and reads the answers."""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

import grpc

from honeyguide.answers import BatchAnswer, UserRow
from honeyguide.answers.arguments import Id, as_whole, shown
from honeyguide.client import messages
from honeyguide.client.channel import described
from honeyguide.client.errors import DeadlineError, InputError, InternalError, from_rpc
from honeyguide.v1 import recommender_service_pb2

__all__ = ["BATCH_SECONDS", "Stream", "check_window", "wrong_batches"]

BATCH_SECONDS = 60.0
"""To wait for the answer to one batch, unless the call says otherwise."""


class Stream:
    """Batch stream that sends at once and receives answers in order; `receive` alone waits."""

    def __init__(
        self,
        rpc: Any,
        options: recommender_service_pb2.RecommendStreamRequest,
        window: int,
        timeout: float,
        target: str,
    ) -> None:
        """Opens the stream with its first message.

        Args:
            rpc: RecommendStream of a synchronous channel.
            options: The first message.
            window: Batches under way at once, 1 or more.
            timeout: Seconds to wait for one answer; infinity: no limit.
            target: The server's address, for messages.
        """
        self._window, self._timeout, self._target = window, timeout, target
        self._sent = 0
        self._waiting: deque[tuple[int, int]] = deque()  # (sequence, users) of each batch under way
        self._outgoing: queue.SimpleQueue[recommender_service_pb2.RecommendStreamRequest | None] = queue.SimpleQueue()
        self._outgoing.put(options)
        self._responses = rpc(iter(self._outgoing.get, None))

    @property
    def full(self) -> bool:
        """Whether an answer must be received before another batch may go."""
        return len(self._waiting) >= self._window

    @property
    def waiting(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._waiting)

    def send(self, batch: Iterable[UserRow | Id]) -> None:
        """Hands a batch to gRPC's sending thread; raises InputError for one that is none."""
        message = described(messages.batch_message, self._sent, batch)
        self._outgoing.put(message)
        self._waiting.append((self._sent, len(message.batch.rows)))
        self._sent += 1

    def finish(self) -> None:
        """Says that no more batches come."""
        self._outgoing.put(None)

    def receive(self) -> BatchAnswer:
        """Waits for the answer to the oldest batch under way."""
        sequence, users = self._waiting.popleft()
        message = self._next()
        if message is None:
            raise InternalError(f"the stream ended before batch {sequence} was answered", reason="STREAM_ENDED")
        answer = messages.batch_answer(message)
        if answer.sequence != sequence or (answer.error is None and len(answer.rows) != users):
            raise InternalError(
                f"batch {sequence} of {users} users was answered as batch {answer.sequence} with {len(answer.rows)} "
                "rows; the server breaks the protocol",
                reason="BAD_ANSWER",
            )
        return answer

    def close(self) -> None:
        """Ends the stream, whatever is under way."""
        self._outgoing.put(None)  # lets gRPC's sending thread go
        self._responses.cancel()

    def _next(self) -> recommender_service_pb2.RecommendStreamResponse | None:
        """Waits for the next message; None: the stream ended."""
        late = threading.Event()

        def expire() -> None:
            late.set()
            self._responses.cancel()

        timer = threading.Timer(self._timeout, expire)  # gRPC knows deadlines of whole streams alone
        timer.daemon = True
        if self._timeout < math.inf:
            timer.start()
        try:
            return next(self._responses, None)
        except grpc.RpcError as error:
            if late.is_set():
                raise DeadlineError(
                    f"{self._target} did not answer a batch within {self._timeout:g} s",
                    remedy="send smaller batches, or raise `timeout`",
                ) from error
            raise from_rpc(error, self._target) from error
        finally:
            timer.cancel()


def check_window(window: object) -> int:
    """Takes the number of batches under way at once; raises InputError below 1."""
    allowed = "1 or more batches"
    number = described(as_whole, "window", window, allowed=allowed)
    if number < 1:
        raise InputError(f"window is {number}; allowed: {allowed}", field="window")
    return number


def wrong_batches(batches: object) -> InputError:
    """Makes the error of what holds no batches."""
    return InputError(
        f"batches is {shown(batches)}; allowed: lists of users, one after another",
        field="batches",
        remedy="for one batch of one user write [[user_id]]",
    )
