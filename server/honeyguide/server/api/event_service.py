"""Answers EventService: checks events, records them, lists them, forgets users."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

import grpc

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.sdk.event import MAX_EVENT_TYPE_BYTES, MAX_ID_BYTES
from honeyguide.server.api.interceptor import to_row_error
from honeyguide.server.events.sqlite import EventStore, StoredEvent
from honeyguide.server.ops.metrics import Metrics
from honeyguide.v1 import event_service_pb2 as pb
from honeyguide.v1 import event_service_pb2_grpc

__all__ = ["EventServicer", "to_message", "to_stored"]

MAX_EVENTS = 1000
"""Events in one RecordEvents."""
MAX_PAGE = 1000
"""Events in one page of GetHistory."""
_DEFAULT_PAGE = 100
_DAY_MS = 86_400_000

Context = grpc.aio.ServicerContext[Any, Any]


async def _nothing_kept(user_id: str) -> None:
    """Is for a server that keeps nothing of users but their events."""


class EventServicer(event_service_pb2_grpc.EventServiceServicer):
    """Translates between messages and the store."""

    def __init__(
        self,
        store: EventStore,
        metrics: Metrics,
        executor: Executor,
        deleted: Callable[[str], Awaitable[None]] = _nothing_kept,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keeps its parts.

        Args:
            store: where events go.
            metrics: counts accepted, duplicate and rejected events.
            executor: runs reads of the disk.
            deleted: awaited with the id of a user whose events were deleted.
            clock: seconds since 1970-01-01 UTC.
        """
        self._store = store
        self._metrics = metrics
        self._executor = executor
        self._deleted = deleted
        self._clock = clock

    async def RecordEvents(self, request: pb.RecordEventsRequest, context: Context) -> pb.RecordEventsResponse:  # noqa: ARG002, N802  # gRPC's
        """Records the events that keep the rules, and says what is wrong with the others."""
        if not 1 <= len(request.events) <= MAX_EVENTS:
            raise InvalidArgument("events", f"{len(request.events)} events", f"1–{MAX_EVENTS:,} in one call")
        now_ms = int(self._clock() * 1000)
        good: list[StoredEvent] = []
        rejected: list[pb.RejectedEvent] = []
        for index, event in enumerate(request.events):
            try:
                good.append(to_stored(event, now_ms))
            except InvalidArgument as error:
                rejected.append(pb.RejectedEvent(index=index, error=to_row_error(error)))
        response = pb.RecordEventsResponse(rejected=rejected)
        if good:
            recorded = await self._store.record(good)
            response.accepted, response.duplicates = recorded.accepted, recorded.duplicates
        for outcome, count in (
            ("accepted", response.accepted),
            ("duplicate", response.duplicates),
            ("rejected", len(rejected)),
        ):
            self._metrics.events.labels(outcome).inc(count)
        return response

    async def GetHistory(self, request: pb.GetHistoryRequest, context: Context) -> pb.GetHistoryResponse:  # noqa: ARG002, N802  # gRPC's
        """Lists a page of a user's events."""
        _check_text("user_id", request.user_id, 1, MAX_ID_BYTES)
        if not 0 <= request.page_size <= MAX_PAGE:
            raise InvalidArgument("page_size", request.page_size, f"1–{MAX_PAGE:,}, or 0 for {_DEFAULT_PAGE}")
        loop = asyncio.get_running_loop()
        size = request.page_size or _DEFAULT_PAGE
        page = await loop.run_in_executor(self._executor, self._store.page, request.user_id, size, request.page_token)
        total = await loop.run_in_executor(self._executor, self._store.count, request.user_id)
        return pb.GetHistoryResponse(
            events=map(to_message, page.events), next_page_token=page.next_token, total_size=total
        )

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:  # noqa: ARG002, N802  # gRPC's
        """Forgets a user."""
        _check_text("user_id", request.user_id, 1, MAX_ID_BYTES)
        deleted = await self._store.delete_user(request.user_id)
        await self._deleted(request.user_id)
        return pb.DeleteUserResponse(deleted_events=deleted)


def to_stored(event: pb.Event, now_ms: int) -> StoredEvent:
    """Checks one event and makes it storable; raises `InvalidArgument` naming field, value and range."""
    _check_text("event_id", event.event_id, 0, 128)
    _check_text("user_id", event.user_id, 1, MAX_ID_BYTES)
    _check_text("item_id", event.item_id, 1, MAX_ID_BYTES)
    _check_text("type", event.type, 0, MAX_EVENT_TYPE_BYTES)
    _check_text("request_id", event.request_id, 0, 128)
    time_ms = now_ms
    if event.HasField("time"):
        time_ms = event.time.seconds * 1000 + event.time.nanos // 1_000_000
        if not 0 <= event.time.nanos < 1_000_000_000:
            raise InvalidArgument("time.nanos", event.time.nanos, "0–999,999,999")
        if not 0 <= time_ms <= now_ms + _DAY_MS:
            given = f"{event.time.seconds} seconds after 1970"
            raise InvalidArgument("time", given, f"0–{(now_ms + _DAY_MS) // 1000}, one day ahead of the server's clock")
    return StoredEvent(
        user_id=event.user_id,
        item_id=event.item_id,
        time_ms=time_ms,
        type=event.type,
        dwell_seconds=_number(event, "dwell_seconds", 0.0),
        clicks=_number(event, "clicks", 0.0),
        quantity=_number(event, "quantity", 0.0),
        value=_number(event, "value", -math.inf),
        request_id=event.request_id,
        event_id=event.event_id,
    )


def to_message(event: StoredEvent) -> pb.Event:
    """Makes the message of a stored event."""
    message = pb.Event(
        event_id=event.event_id,
        user_id=event.user_id,
        item_id=event.item_id,
        type=event.type,
        dwell_seconds=event.dwell_seconds,
        clicks=event.clicks,
        quantity=event.quantity,
        value=event.value,
        request_id=event.request_id,
    )
    message.time.FromMilliseconds(event.time_ms)
    return message


def _check_text(field: str, text: str, least: int, most: int) -> None:
    if not least <= len(text.encode()) <= most:
        raise InvalidArgument(field, text, f"{least}–{most} bytes")


def _number(event: pb.Event, field: str, least: float) -> float | None:
    """Returns an optional number of an event; None where it is unset."""
    if not event.HasField(field):
        return None
    number = float(getattr(event, field))
    if not math.isfinite(number) or number < least:
        raise InvalidArgument(field, number, "any finite number" if least < 0 else "finite, 0 or more")
    return number
