"""Carries all services over grpcio, on the event loop, which hands unary calls to the workers."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import DESCRIPTOR as HEALTH_FILE
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from honeyguide.server.access.roles import is_carried
from honeyguide.server.api.reading import MAX_MESSAGE_BYTES
from honeyguide.server.api.reflection import add_reflection
from honeyguide.server.oip.wire import wire_file
from honeyguide.server.serving.workers import Receive
from honeyguide.server.settings import Settings
from honeyguide.server.transport.methods import Methods
from honeyguide.server.transport.ports import address_of, port_taken
from honeyguide.server.transport.services import Services
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2

__all__ = ["GrpcioTransport"]

_FILES = (
    recommender_service_pb2.DESCRIPTOR,
    event_service_pb2.DESCRIPTOR,
    model_service_pb2.DESCRIPTOR,
    HEALTH_FILE,
)
_MAX_RECEIVED_BYTES = 2 * MAX_MESSAGE_BYTES
"""Beyond, gRPC itself refuses, with RESOURCE_EXHAUSTED; up to it, callers are told what is allowed."""

_MAX_SENT_BYTES = 16 << 20
"""Above the largest answer to a batch: 20,000 items with ids of 256 bytes and titles of 500. Beyond, gRPC fails
the call with RESOURCE_EXHAUSTED."""

_NO_LIMIT = (1 << 31) - 1
_MIN_PING_SECONDS = 5.0
"""What a client leaves between two pings unless the settings say: half of the least that clients in Go and Java do."""
_LAST_SECONDS = 0.1
"""How long calls are still taken once the server stops, as health has said so, and then how long they are refused."""


class GrpcioTransport:
    """Server of grpc.aio on one port, with reflection; see `Transport`."""

    receive: Receive | None = None

    def __init__(self, services: Services, settings: Settings, socket: str = "", *, is_admin: bool = False) -> None:
        """Binds the port; must be called on the event loop.

        Args:
            services: what it carries.
            settings: the address, TLS, and the limits on connections.
            socket: a Unix socket to listen on in the place of the settings' address, without TLS.
            is_admin: whether to listen on the admin port, and to carry what is answered there.

        Raises `ConfigError` where the port cannot be had, or the certificate cannot be read.
        """
        self._carries = partial(is_carried, settings=settings, by_admin_port=is_admin)
        self._interceptor = None if services.intercept is None else services.intercept()
        interceptors = () if self._interceptor is None else (self._interceptor,)
        self._methods = Methods(services)
        self._server = grpc.aio.server(interceptors=interceptors, options=_options(settings, is_behind=bool(socket)))
        self._server.add_generic_rpc_handlers((_Handlers(self._methods.handlers(self._carries)),))
        if self._carries("/grpc.health.v1.Health/Check"):
            add_HealthServicer_to_server(services.health, self._server)
        if self._carries("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            add_reflection(self._server, _FILES, [wire_file()])
        host, port = (settings.admin_host, settings.admin_port) if is_admin else (settings.host, settings.port)
        address = f"unix:{socket}" if socket else address_of(host, port)
        try:
            if services.tls is not None and not socket:
                self.port = self._server.add_secure_port(address, services.tls())
            else:
                self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise port_taken(host, port, flag="--admin-port" if is_admin else "--port") from error
        if address.startswith("unix:"):
            self.port = 0

    async def start(self) -> None:
        """Takes calls from now on."""
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls, gives those under way ``grace`` seconds, None is none, and frees the port."""
        if grace:
            # gRPC cancels what has arrived and nobody has picked up yet: who is told to go elsewhere sends no more.
            await asyncio.sleep(min(grace, _LAST_SECONDS))
            self._methods.refuse()
            if self._interceptor is not None:
                self._interceptor.refuse()
            await asyncio.sleep(min(grace, _LAST_SECONDS))
        await self._server.stop(grace)


class _Handlers(grpc.GenericRpcHandler):
    """Methods by path."""

    def __init__(self, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the handler of a method; None: it is another's."""
        return self._handlers.get(handler_call_details.method)


def _options(settings: Settings, *, is_behind: bool) -> list[tuple[str, int]]:
    options = [
        # Else a second server binds the same port in silence and takes half of the calls.
        ("grpc.so_reuseport", int(settings.processes > 1)),
        ("grpc.max_receive_message_length", _MAX_RECEIVED_BYTES),
        ("grpc.max_send_message_length", _MAX_SENT_BYTES),
        ("grpc.per_message_decompression", 0),  # `inflate` does it, no further than is read
        # What stands before it has a limit for each of its own connections, and may bring them all here on one.
        ("grpc.max_concurrent_streams", _NO_LIMIT if is_behind else settings.max_concurrent_streams),
        # Streams that are over, but for what is to be freed, count against it else: a burst of 2,000 calls on one
        # connection, which the client holds back as it should, then ends with UNAVAILABLE for two thirds of them.
        ("grpc.http.overload_protection", 0),
        ("grpc.keepalive_time_ms", _ms(settings.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _ms(settings.keepalive_timeout_seconds)),
        # What closes a connection whose ping has no answer (tried with 1.81); a minute unless it is set.
        ("grpc.http2.ping_timeout_ms", _ms(settings.keepalive_timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),
        # gRPC's own five minutes end a connection whose client pings as often as its library lets it: every 10 s.
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(settings.min_ping_seconds or _MIN_PING_SECONDS)),
    ]
    for name, seconds in (
        ("grpc.max_connection_age_ms", settings.max_connection_age_seconds),
        ("grpc.max_connection_age_grace_ms", settings.drain_seconds if settings.max_connection_age_seconds else 0),
        ("grpc.max_connection_idle_ms", settings.max_connection_idle_seconds),
    ):
        if seconds:
            options.append((name, _ms(seconds)))
    return options


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
