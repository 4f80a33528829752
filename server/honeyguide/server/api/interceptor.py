"""Turns every error into a rich gRPC status, and counts and times every request."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from time import perf_counter
from typing import Any

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details  # type: ignore[import-untyped]  # Google ships no stubs
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]  # as above
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above
from grpc_status import rpc_status

from honeyguide.sdk.errors import HoneyguideError, InvalidArgument, NotFound, OverCapacity
from honeyguide.sdk.scrub import without_paths
from honeyguide.server.ops.logs import begin_request
from honeyguide.server.ops.metrics import Metrics
from honeyguide.v1.history_pb2 import RowError

__all__ = ["DOMAIN", "ErrorInterceptor", "to_row_error", "to_status"]

DOMAIN = "honeyguide"
"""Domain of every ErrorInfo."""

_MESSAGE_BYTES = 1000
"""Bytes of a message at most. It travels in the trailers up to three times, once with every byte of other scripts as
three; above 8 kB of trailers gRPC's clients show an error of their own instead."""


def to_row_error(error: Exception) -> RowError:
    """Describes an error to the client, for one row of a batch; an unknown one tells nothing of itself."""
    if not isinstance(error, HoneyguideError):
        return RowError(code=Code.INTERNAL, reason="INTERNAL", message="internal error; the server's log has more")
    return RowError(
        code=Code.Value(error.code),
        reason=error.reason,
        field=error.field if isinstance(error, InvalidArgument) else "",
        message=_message(error),
    )


def to_status(error: Exception, request_id: str) -> Status:
    """Describes an error to the client, for a whole call, as a google.rpc.Status with details."""
    row = to_row_error(error)
    if not isinstance(error, HoneyguideError):
        row.message = f"internal error; the server's log has more under request {request_id}"
    parts: list[Message] = [details.ErrorInfo(reason=row.reason, domain=DOMAIN, metadata={"request_id": request_id})]
    if isinstance(error, InvalidArgument):
        violation = details.BadRequest.FieldViolation(field=row.field, description=row.message)
        parts.append(details.BadRequest(field_violations=[violation]))
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
                return build(  # type: ignore[no-any-return]  # getattr hides the type
                    wrapper(call, method), handler.request_deserializer, handler.response_serializer
                )
        return handler  # type: ignore[no-any-return]  # a synchronous method of a library: left as it is

    def _wrap_unary(self, call: Any, method: str) -> Any:
        async def unary(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await self._guard(lambda: call(request, context), method, context)

        return unary

    def _wrap_stream(self, call: Any, method: str) -> Any:
        async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            async def pump() -> None:
                answer = call(request, context)
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
        request_id = begin_request(method)
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


def _message(error: HoneyguideError) -> str:
    # What the client sent comes back as it was; everything else may quote the file system.
    message = error.message if isinstance(error, InvalidArgument | NotFound) else without_paths(error.message)
    whole = message.encode()
    return message if len(whole) <= _MESSAGE_BYTES else whole[:_MESSAGE_BYTES].decode(errors="ignore") + "…"
