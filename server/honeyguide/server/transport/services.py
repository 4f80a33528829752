"""Names what a transport carries, and what the server asks of a transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import grpc
from grpc_health.v1.health_pb2_grpc import HealthServicer

from honeyguide.v1.event_service_pb2_grpc import EventServiceServicer
from honeyguide.v1.model_service_pb2_grpc import ModelServiceServicer
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceServicer

__all__ = ["Services", "Transport"]


@dataclass(frozen=True, slots=True)
class Services:
    """Servicers of one server, whichever transports carry them."""

    recommender: RecommenderServiceServicer
    events: EventServiceServicer
    models: ModelServiceServicer
    health: HealthServicer
    interceptors: tuple[grpc.aio.ServerInterceptor, ...] = ()
    """What every call passes through, outermost first."""


class Transport(Protocol):
    """Way for calls to the services."""

    port: int
    """The port it listens on."""

    async def start(self) -> None:
        """Takes calls from now on."""
        ...  # pragma: no cover

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls, gives those under way ``grace`` seconds, None is none, and frees the port."""
        ...  # pragma: no cover
