"""Takes HTTP requests apart: what is none of ours, comes from a foreign page, is too large or too slow ends here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from time import monotonic
from typing import Any

from connectrpc.server import ConnectASGIApplication
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from honeyguide.sdk.errors import DeadlinePassed, HoneyguideError, OverCapacity, TooLarge, Unavailable
from honeyguide.server.api.reading import MAX_MESSAGE_BYTES
from honeyguide.server.serving.workers import STOPPING
from honeyguide.server.web.bodies import CODECS, Gzip
from honeyguide.server.web.endpoints import NO_STREAMS, Endpoints
from honeyguide.server.web.statuses import to_connect_error

__all__ = ["Receiving", "make_application"]

_UNARY = ("application/json", "application/proto")
_STREAMS = ("application/connect+json", "application/connect+proto")
_WEB = ("application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json")
_ENVELOPE = 5
"""Bytes before a message of gRPC-Web."""
_BODY_SECONDS = 30.0
"""How long the body of a request may take."""
_MOST_HELD_BYTES = 32 * MAX_MESSAGE_BYTES
"""Bytes of bodies that are being received, of all requests together."""
_PREFLIGHT_SECONDS = 600
_ALLOWED = (
    "authorization",
    "connect-protocol-version",
    "connect-timeout-ms",
    "grpc-timeout",
    "traceparent",
    "x-grpc-web",
    "x-request-id",
    "x-user-agent",
)
"""Headers that pages may send beside those that every page may."""
_SHOWN = ("grpc-message", "grpc-status", "grpc-status-details-bin", "retry-after", "x-request-id")
"""Headers that pages may read."""


class Receiving:
    """Bodies that are being received, of all requests together."""

    def __init__(self) -> None:
        self._held, self._stops = 0, False
        self._waits: set[asyncio.Timeout] = set()

    def stop(self) -> None:
        """Waits for no part of a body any more: who has not sent all of a request is refused, as who comes now is."""
        self._stops = True
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(0)

    async def next(self, receive: Receive, until: float) -> Message:
        """Receives a part; raises `DeadlinePassed` or `Unavailable`."""
        try:
            async with asyncio.timeout(0 if self._stops else until - monotonic()) as wait:
                self._waits.add(wait)
                try:
                    return await receive()
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            if self._stops:
                raise Unavailable(STOPPING) from None
            raise DeadlinePassed(f"the body took longer than the {_BODY_SECONDS:g} s that it may") from None

    def hold(self, body: _Body, size: int) -> None:
        """Counts bytes that are being received; raises `TooLarge` or `OverCapacity`."""
        body.held += size
        self._held += size
        if body.held > MAX_MESSAGE_BYTES + _ENVELOPE:
            raise TooLarge(f"the body has more than {MAX_MESSAGE_BYTES:,} bytes, the most allowed; send several")
        if self._held > _MOST_HELD_BYTES:
            raise OverCapacity("too many large bodies are being received; try again later", retry_after=1.0)

    def forget(self, body: _Body) -> None:
        """Counts the bytes of a request no more, which was answered."""
        self._held -= body.held


def make_application(
    endpoints: Endpoints, methods: Mapping[str, Any], origins: tuple[str, ...], receiving: Receiving
) -> ASGIApp:
    """Returns the application: CORS, then the checks of `_Checks`, then Connect and gRPC-Web."""
    return CORSMiddleware(
        _Checks(_Connect(methods), endpoints, methods, origins, receiving),
        allow_origins=origins,
        allow_methods=("POST",),
        allow_headers=_ALLOWED,
        expose_headers=_SHOWN,
        max_age=_PREFLIGHT_SECONDS,
    )


class _Connect(ConnectASGIApplication[None]):
    """The library's application over all services."""

    def __init__(self, methods: Mapping[str, Any]) -> None:
        super().__init__(
            service=None,
            endpoints=lambda _: methods,
            read_max_bytes=2 * MAX_MESSAGE_BYTES,  # `_Body` says so before, in our words
            compressions=(Gzip(level=1),),
            codecs=CODECS,
        )

    @property
    def path(self) -> str:
        """Below which all lies."""
        return "/"


class _Checks:
    """Application that lets through what the library answers well, and words the rest."""

    def __init__(
        self,
        app: Any,
        endpoints: Endpoints,
        methods: Mapping[str, Any],
        origins: tuple[str, ...],
        receiving: Receiving,
    ) -> None:
        self._app, self._endpoints, self._origins, self._receiving = app, endpoints, origins, receiving
        self._unary = {path for path, endpoint in methods.items() if "/RecommendStream" not in path}
        self._streams = methods.keys() - self._unary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            headers = {key.decode("ascii"): value.decode("ascii") for key, value in scope["headers"]}
        except UnicodeDecodeError:
            await _answer(send, 400, "invalid_argument", "a header has letters that are not ASCII")
            return
        if refusal := self._refusal(scope, headers):
            await _answer(send, *refusal)
            return
        body = _Body(self, self._receiving, receive, scope["path"], headers)
        try:
            await self._app(scope, body, send)
        except asyncio.CancelledError:
            pass  # the stop has waited long enough, and the call is told; uvicorn would log a traceback
        finally:
            self._receiving.forget(body)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str, str] | None:
        """Returns status, code and words for what is no call; None: it is one."""
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and "*" not in self._origins:
            return 403, "permission_denied", f"pages of {origin[:300]} may not call; web_origins names those that may"
        path, kind = scope["path"], headers.get("content-type", "").partition(";")[0].strip().lower()
        if path not in self._unary and path not in self._streams:
            return 404, "unimplemented", "no such rpc on this port; one is /honeyguide.v1.RecommenderService/Recommend"
        if scope["method"] != "POST":
            return 405, "unimplemented", "rpcs are called with POST"
        if path in self._streams and kind in _UNARY:
            return 501, "unimplemented", NO_STREAMS
        taken = (*(_STREAMS if path in self._streams else _UNARY), *_WEB)
        if kind not in taken:
            return 415, "unimplemented", f"the content type is none that this rpc takes here: {', '.join(taken)}"
        return None

    def to_error(self, path: str, headers: Mapping[str, str], error: HoneyguideError) -> Exception:
        """Returns what ends a call whose body cannot be had, and notes it."""
        return to_connect_error(self._endpoints.refuse(path, headers, error))


class _Body:
    """What receives one request: its body, no longer and no slower than may be, then that the client left."""

    def __init__(
        self, checks: _Checks, receiving: Receiving, receive: Receive, path: str, headers: Mapping[str, str]
    ) -> None:
        self._checks, self._receiving, self._receive = checks, receiving, receive
        self._path, self._headers = path, headers
        self._until, self._complete = monotonic() + _BODY_SECONDS, False
        self.held = 0

    async def __call__(self) -> Message:
        """Receives the next part; raises `ConnectError`."""
        if self._complete:
            return await self._receive()
        try:
            message = await self._receiving.next(self._receive, self._until)
            self._receiving.hold(self, len(message.get("body", b"")))
        except HoneyguideError as error:
            raise self._checks.to_error(self._path, self._headers, error) from error
        self._complete = not message.get("more_body", False)
        return message


async def _answer(send: Send, status: int, code: str, message: str) -> None:
    """Answers with an error as Connect writes it."""
    body = json.dumps({"code": code, "message": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
