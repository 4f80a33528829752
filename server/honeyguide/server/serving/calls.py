"""Says what a call is on its way through the server, whichever transport brought it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import count
from secrets import randbits
from time import monotonic
from typing import NamedTuple

from honeyguide.server.access.limits import CallerLimits
from honeyguide.server.serving.context import RequestContext

__all__ = ["Failure", "RequestIds", "ServerCall"]

_MASK = (1 << 128) - 1


class Failure(NamedTuple):
    """What the caller is told of a call that failed."""

    code: int
    """Of the gRPC status."""
    message: str
    details: bytes
    """Bytes of the google.rpc.Status."""
    pushback_ms: int = -1
    """Milliseconds until gRPC's own retries may try again; -1: as their policy has it."""


class ServerCall(RequestContext, ABC):
    """One unary call: what was asked, and the way back. It is answered once, from any thread."""

    __slots__ = ("arrived", "gone", "limits", "method", "payload", "returned", "waits")

    def __init__(self, request_id: str, deadline: float, caller: str, method: str, payload: bytes) -> None:
        """Takes what the transport knows; see `RequestContext`.

        Args:
            request_id: names the answer.
            deadline: seconds on the clock `monotonic`; infinite: none.
            caller: who asks.
            method: path of the rpc, "/package.Service/Method".
            payload: bytes of the request.
        """
        super().__init__(request_id, deadline, caller)
        self.method, self.payload = method, payload
        self.arrived = monotonic()
        self.limits: CallerLimits | None = None
        """Of the caller, where callers are known."""
        self.returned: tuple[tuple[str, str], ...] = ()
        """Trailing metadata of its answer: the ids that the client gave it."""
        self.gone = False
        """Whether nobody waits for the answer any more: it was given, or the caller went away."""
        self.waits = False
        """Whether it is in the queue, and somebody waits for it."""

    @abstractmethod
    def respond(self, payload: bytes) -> None:
        """Answers with the bytes of the response."""

    @abstractmethod
    def fail(self, failure: Failure) -> None:
        """Ends the call with an error."""


class RequestIds:
    """Source of ids of requests, 32 hexadecimal digits each, that no other server gives out; thread-safe."""

    def __init__(self) -> None:
        self._numbers = count(randbits(128))  # one call of the kernel for all of them

    def new(self) -> str:
        """Returns an id that was not given out before."""
        return f"{next(self._numbers) & _MASK:032x}"
