"""Guards the methods that run on the event loop: an error becomes a status, and every request is counted and timed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import grpc

from honeyguide.sdk.errors import HoneyguideError, Unavailable
from honeyguide.server.access.gate import Gate
from honeyguide.server.api.admission import StreamPace, admission
from honeyguide.server.api.auditing import AUDITED, Auditor
from honeyguide.server.api.given_ids import adopt, returned
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.api.reading import inflate, read_message
from honeyguide.server.api.statuses import to_grpc_status
from honeyguide.server.ops.logs import bind_request
from honeyguide.server.serving.calls import RequestIds
from honeyguide.server.serving.workers import STOPPING

__all__ = ["ErrorInterceptor"]


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """Stand-in for a request that cannot be read, until there is a call to answer with why."""

    error: HoneyguideError


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every asyncio method of one port; log lines carry the request's id.

    It keeps the handlers that it saw: another port, which carries other methods, needs another.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        request_ids: RequestIds,
        guarded: Collection[str] = (),
        gate: Gate | None = None,
        auditor: Auditor | None = None,
    ) -> None:
        """Keeps its parts.

        Args:
            outcomes: keeps book.
            request_ids: names requests.
            guarded: methods that keep book, and let calls in, themselves.
            gate: lets calls in; None: every call is.
            auditor: witnesses what changes or erases something; None: nobody does.
        """
        self._auditor, self._stopping = auditor, False
        self._outcomes, self._request_ids, self._guarded, self._gate = outcomes, request_ids, guarded, gate
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}  # gRPC asks for the handler at every call

    def refuse(self) -> None:
        """Refuses every call that comes from now on: the server stops."""
        self._stopping = True

    def _check_open(self) -> None:
        if self._stopping:
            raise Unavailable(STOPPING)

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
        if handler is not None and method not in self._guarded:  # a name that a client made up is not kept
            wrapped = self._wrap(handler, method)
            if wrapped is handler and self._gate is not None:
                return None  # a synchronous method, before which nobody would ask who calls
            self._wrapped[method] = wrapped
            return wrapped
        return handler  # type: ignore[no-any-return]  # as above

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
            return await self._guard(lambda pace: call(read(request, pace), context), method, context, kind, request)

        return unary

    def _wrap_stream(self, call: Any, method: str, kind: str) -> Any:
        read = _all_readable if kind.startswith("stream") else _readable

        async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            async def pump(pace: StreamPace | None) -> None:
                answer = call(read(request, pace), context)
                if inspect.isawaitable(answer):  # a servicer that calls context.write itself
                    await answer
                    return
                async with aclosing(answer):
                    async for message in answer:
                        await context.write(message)

            await self._guard(pump, method, context, kind)

        return stream

    async def _guard(
        self,
        call: Callable[[StreamPace | None], Awaitable[Any]],
        method: str,
        context: grpc.aio.ServicerContext[Any, Any],
        kind: str,
        request: object = None,
    ) -> Any:
        metadata = context.invocation_metadata() or ()
        own = adopt(metadata)
        request_id = own or self._request_ids.new()
        back = returned(metadata, own)
        if back:
            context.set_trailing_metadata(back)
        bind_request(request_id, method)
        self._outcomes.begin(method)
        start = perf_counter()
        try:
            self._check_open()
            with ExitStack() as parts:
                if self._auditor is not None and method in AUDITED:
                    parts.enter_context(self._auditor.witness(method, request_id, request, context))
                is_stream = "stream" in kind
                pace = parts.enter_context(admission(self._gate, method, context, is_stream=is_stream))
                return await call(pace)
        except asyncio.CancelledError:  # the client went away, or its deadline passed
            self._outcomes.abandon(method, "CANCELLED")
            raise
        except (grpc.aio.InternalError, grpc.aio.UsageError) as error:  # it went away, and a write noticed first
            self._outcomes.abandon(method, "CANCELLED")
            raise asyncio.CancelledError from error
        except grpc.aio.AbortError:  # the servicer chose a status itself
            self._outcomes.abandon(method, "ABORTED_BY_SERVICER")
            raise
        except Exception as error:  # boundary: one request; the others go on
            await context.abort_with_status(to_grpc_status(self._outcomes.refuse(method, request_id, error), back))
        finally:
            self._outcomes.end(method, perf_counter() - start)


def _reader(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """Wraps what reads a request, so that what cannot be read is told to the caller by the method's own guard."""

    def read(data: bytes) -> Any:
        try:
            return read_message(deserialize or bytes, inflate(data))
        except HoneyguideError as error:
            return _Unreadable(error)

    return read


def _readable(request: Any, _: StreamPace | None) -> Any:
    if isinstance(request, _Unreadable):
        raise request.error
    return request


async def _all_readable(requests: AsyncIterator[Any], pace: StreamPace | None) -> AsyncIterator[Any]:
    async for request in requests:
        if pace is not None:
            await pace.keep(request)
        yield _readable(request, pace)
