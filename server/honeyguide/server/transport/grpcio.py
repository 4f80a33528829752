"""Carries the services over grpcio, on the event loop."""

from __future__ import annotations

import grpc
from grpc_health.v1.health_pb2 import DESCRIPTOR as HEALTH_FILE
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from honeyguide.server.api.interceptor import MAX_MESSAGE_BYTES
from honeyguide.server.api.reflection import add_reflection
from honeyguide.server.transport.ports import address_of, port_taken
from honeyguide.server.transport.services import Services
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2
from honeyguide.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from honeyguide.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from honeyguide.v1.recommender_service_pb2_grpc import add_RecommenderServiceServicer_to_server

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


class GrpcioTransport:
    """Server of grpc.aio on one port, with reflection; see `Transport`."""

    def __init__(self, services: Services, host: str, port: int) -> None:
        """Binds the port; must be called on the event loop.

        Args:
            services: what it carries.
            host: address to listen on.
            port: 0: any free one.

        Raises `ConfigError` where the port cannot be had.
        """
        self._server = grpc.aio.server(
            interceptors=services.interceptors,
            options=[
                # Else a second server binds the same port in silence and takes half of the calls.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", _MAX_RECEIVED_BYTES),
                ("grpc.max_send_message_length", _MAX_SENT_BYTES),
            ],
        )
        add_RecommenderServiceServicer_to_server(services.recommender, self._server)
        add_EventServiceServicer_to_server(services.events, self._server)
        add_ModelServiceServicer_to_server(services.models, self._server)
        add_HealthServicer_to_server(services.health, self._server)
        add_reflection(self._server, _FILES)
        try:
            self.port = self._server.add_insecure_port(address_of(host, port))
        except RuntimeError as error:
            raise port_taken(host, port) from error

    async def start(self) -> None:
        """Takes calls from now on."""
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls, gives those under way ``grace`` seconds, None is none, and frees the port."""
        await self._server.stop(grace)
