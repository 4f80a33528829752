"""Names what a transport carries, and what the server asks of a transport."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc
from grpc_health.v1.health_pb2_grpc import HealthServicer

from honeyguide.server.access.gate import Gate
from honeyguide.server.api.event_service import EventServicer
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.api.recommender_service import RecommenderServicer
from honeyguide.server.oip.service import InferenceServicer
from honeyguide.server.serving.calls import RequestIds
from honeyguide.server.serving.workers import Receive, Workers
from honeyguide.v1.model_service_pb2_grpc import ModelServiceServicer

__all__ = ["Services", "Transport"]


@dataclass(frozen=True, slots=True)
class Services:
    """What one server answers, whichever transports carry it."""

    unary: Sequence[str]
    """Paths of the methods that the workers answer, from bytes to bytes; the servicers have all others."""
    workers: Workers
    request_ids: RequestIds
    outcomes: Outcomes
    streams: RecommenderServicer
    events: EventServicer
    models: ModelServiceServicer
    inference: InferenceServicer
    """Of the Open Inference Protocol."""
    health: HealthServicer
    gate: Gate | None = None
    """What lets calls in; None: every call is."""
    tls: Callable[[], grpc.ServerCredentials] | None = None
    """Makes what a port speaks TLS with; None: it does not."""
    intercept: Callable[[], ErrorInterceptor] | None = None
    """Makes what every call passes through that runs on the event loop; each port has its own."""


class Transport(Protocol):
    """Way for calls to the services."""

    port: int
    """The port it listens on; 0: it listens on a Unix socket."""
    receive: Receive | None
    """Where a worker waits for calls; None: they are put to the workers."""

    async def start(self) -> None:
        """Takes calls from now on."""
        ...  # pragma: no cover

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls, gives those under way ``grace`` seconds, None is none, and frees the port."""
        ...  # pragma: no cover
