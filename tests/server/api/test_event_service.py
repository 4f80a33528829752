"""Tests of EventService over a real server: what is checked, recorded, listed, forgotten."""

import asyncio
import math
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from honeyguide.server.api.event_service import EventRecorder, EventServicer
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.calls import RequestIds
from honeyguide.v1 import event_service_pb2 as pb
from honeyguide.v1.errors_pb2 import ERROR_REASON_INVALID_FIELD
from honeyguide.v1.event_service_pb2_grpc import EventServiceStub, add_EventServiceServicer_to_server

NOW = 1_700_000_000
DAY = 86_400


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


class Servicer(EventServicer):
    """Records on the event loop, too: here the calls pass no workers."""

    def __init__(self, recorder: EventRecorder, store: SqliteEventStore, executor: ThreadPoolExecutor) -> None:
        super().__init__(store, executor)
        self.recorder = recorder

    async def RecordEvents(self, request: pb.RecordEventsRequest, context: object) -> pb.RecordEventsResponse:  # noqa: N802  # gRPC's
        return await asyncio.wrap_future(self.recorder.record(request))


@pytest_asyncio.fixture
async def stub(tmp_path: Path, metrics: Metrics) -> AsyncIterator[EventServiceStub]:
    with SqliteEventStore(tmp_path / "events.db") as store, ThreadPoolExecutor(2) as executor:
        server = grpc.aio.server(interceptors=[ErrorInterceptor(Outcomes(metrics), RequestIds())])
        recorder = EventRecorder(store, metrics, clock=lambda: NOW)
        add_EventServiceServicer_to_server(Servicer(recorder, store, executor), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield EventServiceStub(channel)
        await server.stop(None)


def event(**fields: object) -> pb.Event:
    return pb.Event(**{"user_id": "anna", "item_id": "book", "time_ms": 1000 * NOW} | fields)


def at(seconds: float) -> dict[str, object]:
    return {"time_ms": int(seconds * 1000)}


async def test_an_event_comes_back_with_every_field(stub: EventServiceStub) -> None:
    sent = event(
        event_id="id",
        event_type="view",
        dwell_seconds=1.5,
        clicks=2,
        quantity=3,
        value=-4,
        request_id="r",
        **at(5.007),
    )
    answer = await stub.RecordEvents(pb.RecordEventsRequest(events=[sent]))
    assert answer == pb.RecordEventsResponse(accepted=1)
    history = await stub.ListEvents(pb.ListEventsRequest(user_id="anna"))
    assert list(history.events) == [sent]
    assert (history.total_size, history.next_page_token) == (1, "")


async def test_an_event_without_time_happens_now_and_unset_stays_unset(stub: EventServiceStub) -> None:
    await stub.RecordEvents(pb.RecordEventsRequest(events=[pb.Event(user_id="anna", item_id="book")]))
    (found,) = (await stub.ListEvents(pb.ListEventsRequest(user_id="anna"))).events
    assert found == event()
    assert not any(found.HasField(name) for name in ("dwell_seconds", "clicks", "quantity", "value"))


BAD = [
    ({"user_id": ""}, "user_id", "1 to 256 bytes"),
    ({"user_id": "x" * 257}, "user_id", "1 to 256 bytes"),
    ({"user_id": "é" * 129}, "user_id", "1 to 256 bytes"),
    ({"item_id": ""}, "item_id", "1 to 256 bytes"),
    ({"item_id": "x" * 257}, "item_id", "1 to 256 bytes"),
    ({"event_type": "x" * 65}, "event_type", "0 to 64 bytes"),
    ({"event_id": "x" * 129}, "event_id", "0 to 128 bytes"),
    ({"request_id": "x" * 129}, "request_id", "0 to 128 bytes"),
    ({"dwell_seconds": -1}, "dwell_seconds", "finite, 0 or more"),
    ({"dwell_seconds": math.nan}, "dwell_seconds", "finite, 0 or more"),
    ({"clicks": -0.5}, "clicks", "finite, 0 or more"),
    ({"quantity": math.inf}, "quantity", "finite, 0 or more"),
    ({"value": -math.inf}, "value", "any finite number"),
    (at(-1), "time_ms", "one day ahead of the server's clock"),
    (at(NOW + DAY + 1), "time_ms", "one day ahead of the server's clock"),
    ({"time_ms": 2**62}, "time_ms", "one day ahead of the server's clock"),
]


@pytest.mark.parametrize(("fields", "field", "allowed"), BAD)
async def test_a_bad_event_is_rejected_alone(
    stub: EventServiceStub, metrics: Metrics, fields: dict[str, object], field: str, allowed: str
) -> None:
    request = pb.RecordEventsRequest(events=[event(item_id="a"), event(**fields), event(item_id="b")])
    answer = await stub.RecordEvents(request)
    assert (answer.accepted, answer.duplicates) == (2, 0)
    (rejected,) = answer.rejected
    assert rejected.index == 1
    assert (rejected.error.code, rejected.error.reason, rejected.error.field) == (3, ERROR_REASON_INVALID_FIELD, field)
    assert f"{field} is " in rejected.error.message
    assert allowed in rejected.error.message
    assert [metrics.events.labels(o)._value.get() for o in ("accepted", "duplicate", "rejected")] == [2, 0, 1]


@pytest.mark.parametrize(
    "fields",
    [
        {"user_id": "é" * 128},
        {"event_type": "x" * 64},
        {"event_id": "x" * 128},
        {"dwell_seconds": 0},
        {"value": -1e30},
        at(0.001),
        at(NOW + DAY),
    ],
)
async def test_the_ends_of_the_ranges_are_allowed(stub: EventServiceStub, fields: dict[str, object]) -> None:
    assert await stub.RecordEvents(pb.RecordEventsRequest(events=[event(**fields)])) == pb.RecordEventsResponse(
        accepted=1
    )


async def test_a_call_of_bad_events_alone_is_answered(stub: EventServiceStub) -> None:
    answer = await stub.RecordEvents(pb.RecordEventsRequest(events=[event(user_id=""), event(item_id="")]))
    assert answer.accepted == 0
    assert [(r.index, r.error.field) for r in answer.rejected] == [(0, "user_id"), (1, "item_id")]


async def test_all_that_is_wrong_with_an_event_is_told(stub: EventServiceStub) -> None:
    bad = event(user_id="", event_type="x" * 65, clicks=-1)
    (rejected,) = (await stub.RecordEvents(pb.RecordEventsRequest(events=[bad]))).rejected
    assert rejected.error.field == "user_id"
    assert all(f"{field} is " in rejected.error.message for field in ("user_id", "event_type", "clicks"))


async def test_an_event_id_is_unique_within_its_user(stub: EventServiceStub) -> None:
    events = [event(event_id="id", user_id=user) for user in ("anna", "ben", "anna")]
    answer = await stub.RecordEvents(pb.RecordEventsRequest(events=events))
    assert (answer.accepted, answer.duplicates) == (2, 1)


async def test_a_page_has_a_hundred_events_or_at_most_a_thousand(stub: EventServiceStub) -> None:
    for start in (0, 1000):
        events = [event(item_id=f"item-{start + i}") for i in range(1000)]
        await stub.RecordEvents(pb.RecordEventsRequest(events=events))
    for size, expected in ((0, 100), (7, 7), (1001, 1000), (2**31 - 1, 1000)):
        page = await stub.ListEvents(pb.ListEventsRequest(user_id="anna", page_size=size))
        assert len(page.events) == expected


async def test_a_retried_call_stores_nothing_twice(stub: EventServiceStub) -> None:
    request = pb.RecordEventsRequest(events=[event(event_id=f"id-{i}") for i in range(1000)])
    assert await stub.RecordEvents(request) == pb.RecordEventsResponse(accepted=1000)
    assert await stub.RecordEvents(request) == pb.RecordEventsResponse(duplicates=1000)


REFUSED = [
    ("RecordEvents", pb.RecordEventsRequest(), "events is '0 events'; allowed: 1 to 1,000"),
    ("RecordEvents", pb.RecordEventsRequest(events=[event()] * 1001), "events is '1001 events'; allowed: 1 to 1,000"),
    ("ListEvents", pb.ListEventsRequest(), "user_id is ''; allowed: 1 to 256 bytes"),
    ("ListEvents", pb.ListEventsRequest(user_id="anna", page_size=-1), "page_size is -1; allowed: 1 to 1,000"),
    ("ListEvents", pb.ListEventsRequest(user_id="anna", page_token="?"), "page_token is '\\?'; allowed: the next_page"),
    (
        "ListEvents",
        pb.ListEventsRequest(user_id="anna", page_size=-1, page_token="?"),
        "page_size is -1.*; page_token is '\\?'",
    ),
    ("ListUsers", pb.ListUsersRequest(page_size=-1, page_token="?"), "page_size is -1.*; page_token is '\\?'"),
    ("ListUsers", pb.ListUsersRequest(page_token="YW5uYQ=="), "page_token is 'YW5uYQ=='; allowed: the next_page"),
    ("DeleteUser", pb.DeleteUserRequest(), "user_id is ''; allowed: 1 to 256 bytes"),
    ("DeleteUser", pb.DeleteUserRequest(user_id="x" * 257), "user_id is 'x+\\.\\.\\.; allowed: 1 to 256 bytes"),
]


@pytest.mark.parametrize(("method", "request_", "message"), REFUSED)
async def test_a_malformed_call_is_refused(stub: EventServiceStub, method: str, request_: object, message: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=message) as caught:
        await getattr(stub, method)(request_)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_pages_follow_each_other_newest_first(stub: EventServiceStub) -> None:
    events = [event(item_id=f"item-{i}", **at(i + 1)) for i in range(250)]
    await stub.RecordEvents(pb.RecordEventsRequest(events=events))
    seen: list[pb.Event] = []
    request = pb.ListEventsRequest(user_id="anna")
    sizes = []
    while True:
        page = await stub.ListEvents(request)
        sizes.append(len(page.events))
        assert page.total_size == 250
        seen += page.events
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sizes == [100, 100, 50]
    assert seen == events[::-1]


async def test_users_are_listed_in_pages_by_their_bytes(stub: EventServiceStub) -> None:
    users = sorted(["Ärger", "anna", "Ben", "7", "10", *(f"u{n}" for n in range(120))], key=str.encode)
    await stub.RecordEvents(pb.RecordEventsRequest(events=[event(user_id=user) for user in reversed(users)]))
    first = await stub.ListUsers(pb.ListUsersRequest())
    assert list(first.user_ids) == users[:100]
    await stub.DeleteUser(pb.DeleteUserRequest(user_id=users[0]))  # what follows is neither shifted nor repeated
    rest = await stub.ListUsers(pb.ListUsersRequest(page_size=1000, page_token=first.next_page_token))
    assert (list(rest.user_ids), rest.next_page_token) == (users[100:], "")
    assert len((await stub.ListUsers(pb.ListUsersRequest(page_size=1001))).user_ids) == len(users) - 1


async def test_an_unknown_user_has_an_empty_history_and_can_be_deleted(stub: EventServiceStub) -> None:
    assert await stub.ListEvents(pb.ListEventsRequest(user_id="nobody")) == pb.ListEventsResponse()
    assert await stub.DeleteUser(pb.DeleteUserRequest(user_id="nobody")) == pb.DeleteUserResponse()


async def test_a_deleted_user_has_no_history(stub: EventServiceStub) -> None:
    await stub.RecordEvents(pb.RecordEventsRequest(events=[event(), event(user_id="ben")]))
    assert await stub.DeleteUser(pb.DeleteUserRequest(user_id="anna")) == pb.DeleteUserResponse(deleted_events=1)
    assert await stub.ListEvents(pb.ListEventsRequest(user_id="anna")) == pb.ListEventsResponse()
    assert (await stub.ListEvents(pb.ListEventsRequest(user_id="ben"))).total_size == 1
