"""Turns every error into a rich gRPC status, and counts and times every request."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2 as details  # type: ignore[import-untyped]  # Google ships no stubs
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]  # as above
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above
from grpc_status import rpc_status

from honeyguide.sdk.errors import HoneyguideError, InvalidArgument, Malformed, NotFound, OverCapacity, TooLarge
from honeyguide.sdk.scrub import without_paths
from honeyguide.server.api.context import begin_context
from honeyguide.server.ops.logs import bind_request
from honeyguide.server.ops.metrics import Metrics
from honeyguide.v1.errors_pb2 import ErrorReason, RowError

__all__ = ["DOMAIN", "MAX_MESSAGE_BYTES", "ErrorInterceptor", "reason_of", "to_row_error", "to_status"]

DOMAIN = "honeyguide"
"""Domain of every ErrorInfo."""

_MESSAGE_BYTES = 1000
"""Bytes of a message at most. It travels in the trailers up to three times, once with every byte of other scripts as
three; above 8 kB of trailers gRPC's clients show an error of their own instead."""
_VIOLATION_BYTES = 2000
"""Bytes of the descriptions of all fields at fault; they travel in the same trailers."""
_FACT_BYTES = 300
MAX_MESSAGE_BYTES = 8 << 20
"""Bytes of one message at most; a client that sends more is told so, and not to try again."""


def to_row_error(error: Exception, request_id: str = "") -> RowError:
    """Describes an error to the client, for a row or a batch; of an unknown one, only where the log has it."""
    if not isinstance(error, HoneyguideError):
        where = f" under request {request_id}" if request_id else ""
        return RowError(
            code=Code.INTERNAL,
            reason=ErrorReason.ERROR_REASON_INTERNAL,
            message=f"internal error; the server's log has more{where}",
        )
    return RowError(
        code=Code.Value(error.code),
        reason=f"ERROR_REASON_{error.reason}",
        field=error.field if isinstance(error, InvalidArgument) else "",
        message=_message(error),
    )


def reason_of(row: RowError) -> str:
    """Returns the reason as ErrorInfo carries it, without the enum's prefix."""
    return ErrorReason.Name(row.reason).removeprefix("ERROR_REASON_")


def to_status(error: Exception, request_id: str) -> Status:
    """Describes an error to the client, for a whole call, as a google.rpc.Status with details."""
    row = to_row_error(error, request_id)
    facts = {"request_id": request_id}
    if isinstance(error, HoneyguideError):
        facts |= {name: _cut(fact, _FACT_BYTES) for name, fact in error.facts.items()}
    parts: list[Message] = [details.ErrorInfo(reason=reason_of(row), domain=DOMAIN, metadata=facts)]
    if isinstance(error, InvalidArgument):
        parts.append(_bad_request(error))
    if isinstance(error, OverCapacity):
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        parts.append(details.RetryInfo(retry_delay=delay))
    status = Status(code=row.code, message=row.message)
    for part in parts:
        packed = AnyMessage()
        packed.Pack(part)
        status.details.append(packed)
    return status


def _bad_request(error: InvalidArgument) -> details.BadRequest:
    """Lists every field at fault; the more there are, the shorter each is told."""
    violations = (error, *error.others)
    share = max(_VIOLATION_BYTES // len(violations), 80)
    return details.BadRequest(
        field_violations=[
            details.BadRequest.FieldViolation(field=v.field, description=_cut(v.message, share)) for v in violations
        ]
    )


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """Stand-in for a request that cannot be read, until there is a call to answer with why."""

    error: HoneyguideError


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every asyncio method of one server; its log lines carry the request's id."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger("honeyguide.requests")
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}  # gRPC asks for the handler at every call

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the method's handler, wrapped; None for an unknown method stays None."""
        method = str(handler_call_details.method)
        if method in self._wrapped:
            return self._wrapped[method]
        handler: Any = await continuation(handler_call_details)
        if handler is not None:  # a name that a client made up is not kept
            self._wrapped[method] = self._wrap(handler, method)
            return self._wrapped[method]
        return None

    def _wrap(self, handler: Any, method: str) -> grpc.RpcMethodHandler[Any, Any]:
        for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            call = getattr(handler, kind)
            if call is not None and (inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)):
                wrapper = self._wrap_stream if kind.endswith("_stream") else self._wrap_unary
                # RpcMethodHandler is a namedtuple inside gRPC; the public factories build the same thing.
                build = getattr(grpc, f"{kind}_rpc_method_handler")
                reader = _reader(handler.request_deserializer)
                return build(  # type: ignore[no-any-return]  # getattr hides the type
                    wrapper(call, method, kind), reader, handler.response_serializer
                )
        return handler  # type: ignore[no-any-return]  # a synchronous method of a library: left as it is

    def _wrap_unary(self, call: Any, method: str, kind: str) -> Any:
        read = _all_readable if kind.startswith("stream") else _readable

        async def unary(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await self._guard(lambda: call(read(request), context), method, context)

        return unary

    def _wrap_stream(self, call: Any, method: str, kind: str) -> Any:
        read = _all_readable if kind.startswith("stream") else _readable

        async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            async def pump() -> None:
                answer = call(read(request), context)
                if inspect.isawaitable(answer):  # a servicer that calls context.write itself
                    await answer
                    return
                async with aclosing(answer):
                    async for message in answer:
                        await context.write(message)

            await self._guard(pump, method, context)

        return stream

    async def _guard(
        self, call: Callable[[], Awaitable[Any]], method: str, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Any:
        request_id = begin_context(context).request_id
        bind_request(request_id, method)
        self._metrics.requests.labels(method).inc()
        start = perf_counter()
        try:
            return await call()
        except asyncio.CancelledError:  # the client went away, or its deadline passed
            self._metrics.errors.labels(method, "CANCELLED").inc()
            raise
        except grpc.aio.AbortError:  # the servicer chose a status itself
            self._metrics.errors.labels(method, "ABORTED_BY_SERVICER").inc()
            raise
        except Exception as error:  # boundary: one request; the others go on
            status = to_status(error, request_id)
            reason = error.reason if isinstance(error, HoneyguideError) else "INTERNAL"
            self._metrics.errors.labels(method, reason).inc()
            if reason == "INTERNAL":
                self._log.exception("request failed")
            else:
                self._log.debug("request refused", reason=reason, message=str(error))
            await context.abort_with_status(rpc_status.to_status(status))
        finally:
            self._metrics.request_seconds.labels(method).observe(perf_counter() - start)


def _reader(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """Wraps what reads a request: bytes that are too many or no message become an answer, not a fault of the server."""

    def read(data: bytes) -> Any:
        if len(data) > MAX_MESSAGE_BYTES:
            size = f"{len(data):,} bytes"
            return _Unreadable(TooLarge(f"the message has {size}; allowed: {MAX_MESSAGE_BYTES:,}; send several"))
        try:
            return data if deserialize is None else deserialize(data)
        except DecodeError:
            return _Unreadable(Malformed("the bytes are no message of this call; check the client's .proto files"))

    return read


def _readable(request: Any) -> Any:
    if isinstance(request, _Unreadable):
        raise request.error
    return request


async def _all_readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)


def _message(error: HoneyguideError) -> str:
    # What the client sent comes back as it was; everything else may quote the file system.
    if isinstance(error, InvalidArgument):
        return _cut(str(error), _MESSAGE_BYTES)
    return _cut(error.message if isinstance(error, NotFound) else without_paths(error.message), _MESSAGE_BYTES)


def _cut(text: str, most: int) -> str:
    """Returns at most so many bytes of a text."""
    whole = text.encode()
    return text if len(whole) <= most else whole[:most].decode(errors="ignore") + "…"
