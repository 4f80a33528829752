"""Tells health and metrics how the store of events is, whoever finds it out."""

from __future__ import annotations

import asyncio

from grpc_health.v1.health_pb2 import HealthCheckResponse

from honeyguide.server.api.health import HealthServicer
from honeyguide.server.events.store import EventStore
from honeyguide.server.ops.metrics import Metrics

__all__ = ["watch_store"]

_SECONDS = 0.25
"""How late a change is told."""
_SERVICE = "honeyguide.v1.EventService"


async def watch_store(store: EventStore, health: HealthServicer, metrics: Metrics) -> None:
    """Says NOT_SERVING of EventService while something ails the store; runs until it is cancelled.

    The server as a whole serves on: recommendations are answered without what cannot be read.
    """
    before: bool | None = None
    while True:
        well = not store.problem
        if well != before:
            before = well
            metrics.event_store_up.set(well)
            await health.set(_SERVICE, HealthCheckResponse.SERVING if well else HealthCheckResponse.NOT_SERVING)
        await asyncio.sleep(_SECONDS)
