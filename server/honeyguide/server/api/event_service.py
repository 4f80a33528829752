"""Answers EventService: checks events, records them, lists them, forgets users."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import grpc

from honeyguide.sdk.errors import InvalidArgument, OverCapacity, RateExceeded
from honeyguide.sdk.event import EVENT_FEATURES, MAX_EVENT_TYPE_BYTES, MAX_ID_BYTES, NON_NEGATIVE_FEATURES
from honeyguide.server.access.limits import CallerLimits
from honeyguide.server.api.paging import size_of_page
from honeyguide.server.api.peers import to_its_end
from honeyguide.server.api.statuses import to_row_error
from honeyguide.server.api.validation import check_text, check_time
from honeyguide.server.api.violations import Violations
from honeyguide.server.events.store import EventStore, RecordCounts, StoredEvent
from honeyguide.server.ops.metrics import Metrics
from honeyguide.v1 import event_service_pb2 as pb

__all__ = ["EventRecorder", "EventServicer", "RecordOutcome", "to_message", "to_stored"]

MAX_EVENTS = 1000
"""Events in one RecordEvents."""
_MAX_KEY_BYTES = 128
"""Bytes of an event's or a request's id."""

_FULL_SECONDS = 0.01
"""How long what the store once refused is refused unread: the store may take it again only after a commit."""

Context = grpc.aio.ServicerContext[Any, Any]


RecordOutcome = pb.RecordEventsResponse | BaseException


async def _nothing_kept(user_id: str) -> None:
    """Stands where a server keeps nothing of users but their events."""


class _Full(NamedTuple):
    """Refusal of the store: of a request of so many bytes, for larger ones, until a moment on the clock `monotonic`."""

    error: OverCapacity
    size: int
    until: float


class EventRecorder:
    """Recorder of what clients send: it checks each event, and answers when the good ones are on disk."""

    def __init__(self, store: EventStore, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        """Keeps its parts.

        Args:
            store: where events go.
            metrics: counts accepted, duplicate and rejected events.
            clock: seconds since 1970-01-01 UTC.
        """
        self._store, self._clock = store, clock
        self._counters = [metrics.events.labels(outcome) for outcome in ("accepted", "duplicate", "rejected")]
        self._full: _Full | None = None

    def full(self, size: int) -> OverCapacity | None:
        """Returns why a request of so many bytes would be refused, so that nobody reads it in vain; None: it may pass.

        Under overload most requests are refused, and reading them would cost what those need that are not.
        """
        full = self._full
        return None if full is None or size < full.size or time.monotonic() >= full.until else full.error

    def record(self, request: pb.RecordEventsRequest) -> Future[pb.RecordEventsResponse]:
        """Does as `submit`, for one who waits."""
        answer: Future[pb.RecordEventsResponse] = Future()

        def settle(outcome: RecordOutcome) -> None:
            if isinstance(outcome, BaseException):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        self.submit(request, settle)
        return answer

    def submit(
        self, request: pb.RecordEventsRequest, done: Callable[[RecordOutcome], None], limits: CallerLimits | None = None
    ) -> None:
        """Records the events that keep the rules; the answer says what is wrong with the others.

        Args:
            request: the events.
            done: told the answer when they are on disk, or why they are not; on the store's thread.
            limits: of the caller; None: there are none.

        Raises `InvalidArgument` where there are none or too many, and as `EventStore.record` does.
        """
        if not 1 <= len(request.events) <= MAX_EVENTS:
            raise InvalidArgument("events", f"{len(request.events)} events", f"1 to {MAX_EVENTS:,} events in one call")
        now_ms = int(self._clock() * 1000)
        good: list[StoredEvent] = []
        rejected: list[pb.RejectedEvent] = []
        for index, event in enumerate(request.events):
            try:
                stored_event = to_stored(event, now_ms)
                if limits is not None:
                    limits.take_event(event.user_id)
                good.append(stored_event)
            except (InvalidArgument, RateExceeded) as error:
                rejected.append(pb.RejectedEvent(index=index, error=to_row_error(error)))
        if not good:
            done(self._response(RecordCounts(0, 0), rejected))
            return

        def stored(recorded: Future[RecordCounts]) -> None:
            error = recorded.exception()
            done(self._response(recorded.result(), rejected) if error is None else error)

        try:
            recorded = self._store.record(good)
        except OverCapacity as error:
            if limits is not None:
                limits.return_events(event.user_id for event in good)
            self._full = _Full(error, request.ByteSize(), time.monotonic() + _FULL_SECONDS)
            raise
        recorded.add_done_callback(stored)

    def _response(self, counts: RecordCounts, rejected: list[pb.RejectedEvent]) -> pb.RecordEventsResponse:
        for counter, count in zip(self._counters, (counts.accepted, counts.duplicates, len(rejected)), strict=True):
            if count:
                counter.inc(count)
        return pb.RecordEventsResponse(accepted=counts.accepted, duplicates=counts.duplicates, rejected=rejected)


class EventServicer:
    """Servicer of events but for recording them, see `EventRecorder`."""

    def __init__(
        self, store: EventStore, executor: Executor, deleted: Callable[[str], Awaitable[None]] = _nothing_kept
    ) -> None:
        """Keeps its parts.

        Args:
            store: where events go.
            executor: runs reads of the disk.
            deleted: awaited with the id of a user whose events were deleted.
        """
        self._store, self._executor, self._deleted = store, executor, deleted

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:  # noqa: ARG002, N802  # gRPC's
        """Lists a page of a user's events."""
        violations = Violations()
        violations.check(check_text, "user_id", request.user_id, 1, MAX_ID_BYTES)
        size = violations.check(size_of_page, request.page_size)
        loop = asyncio.get_running_loop()
        # The store knows its tokens; a bad one is named together with what else is wrong.
        page = await loop.run_in_executor(
            self._executor, violations.check, self._store.page, request.user_id, size or 1, request.page_token
        )
        violations.refuse()
        total = await loop.run_in_executor(self._executor, self._store.count, request.user_id)
        return pb.ListEventsResponse(
            events=map(to_message, page.events), next_page_token=page.next_token, total_size=total
        )

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:  # noqa: ARG002, N802  # gRPC's
        """Lists a page of the users of whom there are events."""
        violations = Violations()
        size = violations.check(size_of_page, request.page_size)
        loop = asyncio.get_running_loop()
        page = await loop.run_in_executor(
            self._executor, violations.check, self._store.user_page, size or 1, request.page_token
        )
        violations.refuse()
        return pb.ListUsersResponse(user_ids=page.user_ids, next_page_token=page.next_token)

    @to_its_end
    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:  # noqa: ARG002, N802  # gRPC's
        """Forgets a user."""
        check_text("user_id", request.user_id, 1, MAX_ID_BYTES)
        deleted = await asyncio.wrap_future(self._store.delete_user(request.user_id))
        await self._deleted(request.user_id)
        return pb.DeleteUserResponse(deleted_events=deleted)


def to_stored(event: pb.Event, now_ms: int) -> StoredEvent:
    """Checks one event and makes it storable; raises `InvalidArgument` naming every field at fault."""
    user_id, item_id, event_type = event.user_id, event.item_id, event.event_type
    request_id, event_id, time_ms = event.request_id, event.event_id, event.time_ms
    numbers = [getattr(event, feature) if event.HasField(feature) else None for feature in EVENT_FEATURES]
    # A character has four bytes at most: what is so short and plain, as most is, needs no second look.
    if not (
        0 < len(user_id) <= MAX_ID_BYTES // 4
        and 0 < len(item_id) <= MAX_ID_BYTES // 4
        and len(event_type) <= MAX_EVENT_TYPE_BYTES // 4
        and len(request_id) <= _MAX_KEY_BYTES // 4
        and len(event_id) <= _MAX_KEY_BYTES // 4
        and 0 <= time_ms <= now_ms
        and all(number is None or 0 <= number < math.inf for number in numbers)
    ):
        _check(event, now_ms)
    dwell, clicks, quantity, value = numbers
    moment, now = time_ms or now_ms, not time_ms
    return StoredEvent(user_id, item_id, moment, event_type, dwell, clicks, quantity, value, request_id, event_id, now)


def _check(event: pb.Event, now_ms: int) -> None:
    violations = Violations()
    for field, least, most in (
        ("event_id", 0, _MAX_KEY_BYTES),
        ("user_id", 1, MAX_ID_BYTES),
        ("item_id", 1, MAX_ID_BYTES),
        ("event_type", 0, MAX_EVENT_TYPE_BYTES),
        ("request_id", 0, _MAX_KEY_BYTES),
    ):
        violations.check(check_text, field, getattr(event, field), least, most)
    violations.check(check_time, "time_ms", event.time_ms, now_ms)
    for feature in EVENT_FEATURES:
        violations.check(_check_number, event, feature)
    violations.refuse()


def to_message(event: StoredEvent) -> pb.Event:
    """Makes the message of a stored event."""
    fields = event._asdict()
    del fields["now"]
    return pb.Event(**fields)


def _check_number(event: pb.Event, feature: str) -> None:
    number = getattr(event, feature)  # 0 where it is unset
    signed = feature not in NON_NEGATIVE_FEATURES
    if not math.isfinite(number) or (number < 0 and not signed):
        raise InvalidArgument(feature, number, "any finite number" if signed else "finite, 0 or more")
