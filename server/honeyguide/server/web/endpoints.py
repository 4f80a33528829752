"""Answers each rpc over the web with the very handler that answers it over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from time import perf_counter
from typing import Any, NamedTuple

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import Endpoint
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from honeyguide.sdk.errors import HoneyguideError
from honeyguide.server.api.given_ids import adopt, returned
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.api.reading import MAX_MESSAGE_BYTES
from honeyguide.server.api.statuses import to_grpc_status
from honeyguide.server.transport.methods import Methods
from honeyguide.server.transport.services import Services
from honeyguide.server.web.bodies import Body, from_json, to_json
from honeyguide.server.web.connections import Names
from honeyguide.server.web.context import WebContext
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2

__all__ = ["NO_STREAMS", "Endpoints"]

NO_STREAMS = "RecommendStream is answered on the gRPC port alone; here, send a Recommend for each user"

_GZIP = b"\x1f\x8b"
_LONG_BYTES = 1 << 12
"""From so many bytes on, JSON is read and written beside the event loop: it takes milliseconds."""


_Call = RequestContext[Any, Any]
_Unary = Callable[[Body, _Call], Awaitable[bytes]]


class _Details(NamedTuple):
    """What the interceptor asks of a call before it has one."""

    method: str


class Endpoints:
    """Endpoints of the web, by path."""

    def __init__(self, services: Services, names: Names, executor: Executor) -> None:
        """Takes its parts; must be made on the event loop.

        Args:
            services: what is answered.
            names: in the certificates of clients, by address.
            executor: reads and writes long JSON.
        """
        self._services, self._names, self._executor = services, names, executor
        self._methods = Methods(services)
        # One for each format, as an interceptor keeps the handler of a path.
        self._guards = [] if services.intercept is None else [services.intercept(), services.intercept()]

    def refuse_all(self) -> None:
        """Refuses every call that comes from now on: the server stops."""
        self._methods.refuse()
        for guard in self._guards:
            guard.refuse()

    async def make(self, carries: Callable[[str], bool]) -> Mapping[str, Any]:
        """Returns those of the rpcs that ``carries`` says yes to."""
        handlers = self._methods.handlers(carries)
        endpoints: dict[str, Any] = {}
        for file in (recommender_service_pb2.DESCRIPTOR, event_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR):
            (service,) = file.services_by_name.values()
            for rpc in service.methods:
                path = f"/{service.full_name}/{rpc.name}"
                if path not in handlers:
                    continue
                streams = rpc.client_streaming or rpc.server_streaming
                info: MethodInfo[Any, Any] = MethodInfo(
                    name=rpc.name,
                    service_name=service.full_name,
                    input=Body,
                    output=bytes,
                    idempotency_level=IdempotencyLevel.UNKNOWN,
                    stream_type=StreamType.BIDI_STREAM if streams else StreamType.UNARY,
                )
                if streams:
                    endpoints[path] = Endpoint.client_stream(info, _refuse_stream)
                    continue
                classes = (GetMessageClass(rpc.input_type), GetMessageClass(rpc.output_type))
                if path in self._services.unary:
                    call = self._of_workers(path, handlers[path], *classes)
                else:
                    call = await self._guarded(path, handlers[path], *classes)
                endpoints[path] = Endpoint.unary(info, call)
        return endpoints

    def refuse(self, path: str, headers: Mapping[str, str], error: HoneyguideError) -> Any:
        """Counts and logs a call that never reaches its handler; returns the failure."""
        outcomes, start = self._services.outcomes, perf_counter()
        outcomes.begin(path)
        request_id = adopt(headers.items()) or self._services.request_ids.new()
        failure = outcomes.refuse(path, request_id, error)
        outcomes.end(path, perf_counter() - start)
        return failure

    async def _guarded(self, path: str, handler: Any, request: type[Message], answer: type[Message]) -> _Unary:
        """Answers with a method that runs on the event loop, guarded as gRPC's server would have it."""

        def read_json(data: bytes) -> Message:
            return request.FromString(from_json(data, request()))

        in_protobuf, in_json = handler, handler._replace(request_deserializer=read_json)
        if self._guards:
            in_protobuf, in_json = [
                await _wrapped(guard, path, each)
                for guard, each in zip(self._guards, (in_protobuf, in_json), strict=True)
            ]

        async def unary(body: Body, ctx: _Call) -> bytes:
            guarded = in_json if body.is_json else in_protobuf
            asked = await self._beside(_size(body.data), guarded.request_deserializer, body.data)
            payload = guarded.response_serializer(await guarded.unary_unary(asked, self._context(ctx)))
            return await self._written(body, payload, answer())

        return unary

    def _of_workers(self, path: str, handler: Any, request: type[Message], answer: type[Message]) -> _Unary:
        """Answers with a method of the workers, from bytes to bytes."""

        async def unary(body: Body, ctx: _Call) -> bytes:
            context = self._context(ctx)
            data = await self._read(path, body.data, request(), context) if body.is_json else body.data
            return await self._written(body, await handler.unary_unary(data, context), answer())

        return unary

    def _context(self, ctx: _Call) -> Any:
        return WebContext(ctx, self._names.get(ctx.client_address or "", {}))

    async def _written(self, body: Body, payload: bytes, answer: Message) -> bytes:
        """Returns an answer in the format of its request."""
        return await self._beside(len(payload), to_json, payload, answer) if body.is_json else payload

    async def _read(self, path: str, data: bytes, message: Message, context: Any) -> bytes:
        """Returns the protobuf of a request in JSON; who may not call is told so before it is read."""
        gate = self._services.gate
        try:
            if gate is not None:
                gate.check(path, gate.credentials(context))
            try:
                read: bytes = await self._beside(_size(data), from_json, data, message)
            except HoneyguideError:
                if gate is not None:
                    gate.admit(path, gate.credentials(context))  # what cannot be read counts, too
                raise
        except HoneyguideError as error:
            headers = dict(context.invocation_metadata())
            if own := adopt(headers.items()):
                context.set_trailing_metadata(returned(headers.items(), own))
            failure = self.refuse(path, headers, error)
            await context.abort_with_status(to_grpc_status(failure))
            raise AssertionError("abort_with_status raises") from error
        return read

    async def _beside(self, size: int, convert: Callable[..., Any], *args: Any) -> Any:
        if size < _LONG_BYTES:
            return convert(*args)
        return await asyncio.get_running_loop().run_in_executor(self._executor, convert, *args)


def _size(data: bytes) -> int:
    """Returns the bytes of a request; of one that came compressed, as many as it may become."""
    return MAX_MESSAGE_BYTES if data.startswith(_GZIP) else len(data)


async def _wrapped(guard: ErrorInterceptor, path: str, handler: Any) -> Any:
    """Returns a handler as gRPC's server would call it behind the interceptor."""

    async def found(_: Any) -> Any:
        return handler

    details: Any = _Details(path)
    return await guard.intercept_service(found, details)


async def _refuse_stream(_: AsyncIterator[Any], __: _Call) -> bytes:
    raise ConnectError(Code.UNIMPLEMENTED, NO_STREAMS)
