"""Health, a metric and the answers say it when the store of events is ill; nobody else is harmed (`store_watch.py`)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent
from honeyguide.v1.event_service_pb2 import Event, RecordEventsRequest
from honeyguide.v1.recommender_service_pb2 import DegradedReason, RecommendRequest

UNREADABLE = DegradedReason.DEGRADED_REASON_HISTORY_UNREADABLE
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def status(running: Any, service: str, expected: int) -> bool:
    """Waits until a service's health is what is expected."""
    stub: Any = HealthStub(running.channel)
    for _ in range(100):
        if (await stub.Check(HealthCheckRequest(service=service))).status == expected:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_zeroed_pages_degrade_the_answers_of_their_users_alone(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    users = [f"user-{i:04}" for i in range(400)]
    with SqliteEventStore(path) as store:
        for user in users:
            store.record([StoredEvent(user, f"item-{i}", i, request_id="x" * 32) for i in range(20)]).result()
    async with start() as running:
        raw = path.read_bytes()
        leaves = [place for place in range(0, len(raw), 4096) if raw[place] == 0x0A]
        pages = [place for place in leaves if b"x" * 32 in raw[place : place + 4096]]  # that hold events
        with path.open("r+b") as file:
            for place in pages[20:60]:
                file.seek(place)
                file.write(bytes(4096))
        names = [*users, *(f"stranger-{i}" for i in range(200))]
        answers = await asyncio.gather(
            *(running.recommender.Recommend(RecommendRequest(user_id=name, k=5)) for name in names)
        )
        assert all(len(answer.items) == 5 for answer in answers)
        told = [list(answer.degraded_reasons) for answer in answers]
        assert all(reasons in ([], [UNREADABLE]) for reasons in told)
        assert 0 < told.count([UNREADABLE]) < 200
        assert all(not reasons for reasons in told[400:])
        assert await status(running, "honeyguide.v1.EventService", NOT_SERVING)
        assert await status(running, "", SERVING)
        metrics = running.server.metrics
        assert metrics.event_store_up._value.get() == 0
        assert metrics.degraded.labels("HISTORY_UNREADABLE")._value.get() == told.count([UNREADABLE])


async def test_an_unlinked_file_refuses_events_and_serves_on(start: Any, tmp_path: Path) -> None:
    async with start() as running:
        event = RecordEventsRequest(events=[Event(user_id="anna", item_id="item-1")])
        assert (await running.events.RecordEvents(event)).accepted == 1
        (tmp_path / "events.db").unlink()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await running.events.RecordEvents(event)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert await status(running, "honeyguide.v1.EventService", NOT_SERVING)
        assert len((await running.recommender.Recommend(RecommendRequest(user_id="anna", k=5))).items) == 5
