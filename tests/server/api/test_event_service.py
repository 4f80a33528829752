"""Tests of EventService over a real server: what is checked, recorded, listed, forgotten."""

import math
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from honeyguide.server.api.event_service import EventServicer
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.events.sqlite import EventStore
from honeyguide.server.ops.metrics import Metrics
from honeyguide.v1 import event_service_pb2 as pb
from honeyguide.v1.event_service_pb2_grpc import EventServiceStub, add_EventServiceServicer_to_server

NOW = 1_700_000_000
DAY = 86_400


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest_asyncio.fixture
async def stub(tmp_path: Path, metrics: Metrics) -> AsyncIterator[EventServiceStub]:
    with EventStore(tmp_path / "events.db") as store, ThreadPoolExecutor(2) as executor:
        server = grpc.aio.server(interceptors=[ErrorInterceptor(metrics)])
        add_EventServiceServicer_to_server(EventServicer(store, metrics, executor, clock=lambda: NOW), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield EventServiceStub(channel)
        await server.stop(None)


def event(**fields: object) -> pb.Event:
    made = pb.Event(**{"user_id": "anna", "item_id": "book"} | fields)
    if not made.HasField("time"):
        made.time.FromSeconds(NOW)
    return made


def at(seconds: int, nanos: int = 0) -> dict[str, object]:
    return {"time": {"seconds": seconds, "nanos": nanos}}


async def test_an_event_comes_back_with_every_field(stub: EventServiceStub) -> None:
    sent = event(
        event_id="id",
        type="view",
        dwell_seconds=1.5,
        clicks=2,
        quantity=3,
        value=-4,
        request_id="r",
        **at(5, 7_000_000),
    )
    answer = await stub.RecordEvents(pb.RecordEventsRequest(events=[sent]))
    assert answer == pb.RecordEventsResponse(accepted=1)
    history = await stub.GetHistory(pb.GetHistoryRequest(user_id="anna"))
    assert list(history.events) == [sent]
    assert (history.total_size, history.next_page_token) == (1, "")


async def test_an_event_without_time_happens_now_and_unset_stays_unset(stub: EventServiceStub) -> None:
    await stub.RecordEvents(pb.RecordEventsRequest(events=[pb.Event(user_id="anna", item_id="book")]))
    (found,) = (await stub.GetHistory(pb.GetHistoryRequest(user_id="anna"))).events
    assert found == event()
    assert not any(found.HasField(name) for name in ("dwell_seconds", "clicks", "quantity", "value"))


BAD = [
    ({"user_id": ""}, "user_id", "1–256 bytes"),
    ({"user_id": "x" * 257}, "user_id", "1–256 bytes"),
    ({"user_id": "é" * 129}, "user_id", "1–256 bytes"),
    ({"item_id": ""}, "item_id", "1–256 bytes"),
    ({"item_id": "x" * 257}, "item_id", "1–256 bytes"),
    ({"type": "x" * 65}, "type", "0–64 bytes"),
    ({"event_id": "x" * 129}, "event_id", "0–128 bytes"),
    ({"request_id": "x" * 129}, "request_id", "0–128 bytes"),
    ({"dwell_seconds": -1}, "dwell_seconds", "finite, 0 or more"),
    ({"dwell_seconds": math.nan}, "dwell_seconds", "finite, 0 or more"),
    ({"clicks": -0.5}, "clicks", "finite, 0 or more"),
    ({"quantity": math.inf}, "quantity", "finite, 0 or more"),
    ({"value": -math.inf}, "value", "any finite number"),
    (at(-1), "time", "one day ahead of the server's clock"),
    (at(NOW + DAY + 1), "time", "one day ahead of the server's clock"),
    (at(10**14), "time", "one day ahead of the server's clock"),
    (at(NOW, -1), "time.nanos", "0–999,999,999"),
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
    assert (rejected.error.code, rejected.error.reason, rejected.error.field) == (3, "INVALID_FIELD", field)
    assert f"{field} is " in rejected.error.message
    assert allowed in rejected.error.message
    assert [metrics.events.labels(o)._value.get() for o in ("accepted", "duplicate", "rejected")] == [2, 0, 1]


@pytest.mark.parametrize(
    "fields",
    [
        {"user_id": "é" * 128},
        {"type": "x" * 64},
        {"event_id": "x" * 128},
        {"dwell_seconds": 0},
        {"value": -1e30},
        at(0),
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


async def test_a_retried_call_stores_nothing_twice(stub: EventServiceStub) -> None:
    request = pb.RecordEventsRequest(events=[event(event_id=f"id-{i}") for i in range(1000)])
    assert await stub.RecordEvents(request) == pb.RecordEventsResponse(accepted=1000)
    assert await stub.RecordEvents(request) == pb.RecordEventsResponse(duplicates=1000)


REFUSED = [
    ("RecordEvents", pb.RecordEventsRequest(), "events is '0 events'; allowed: 1–1,000"),
    ("RecordEvents", pb.RecordEventsRequest(events=[event()] * 1001), "events is '1001 events'; allowed: 1–1,000"),
    ("GetHistory", pb.GetHistoryRequest(), "user_id is ''; allowed: 1–256 bytes"),
    ("GetHistory", pb.GetHistoryRequest(user_id="anna", page_size=-1), "page_size is -1; allowed: 1–1,000"),
    ("GetHistory", pb.GetHistoryRequest(user_id="anna", page_size=1001), "page_size is 1001; allowed: 1–1,000"),
    ("GetHistory", pb.GetHistoryRequest(user_id="anna", page_token="?"), "page_token is '\\?'; allowed: the next_page"),
    ("DeleteUser", pb.DeleteUserRequest(), "user_id is ''; allowed: 1–256 bytes"),
    ("DeleteUser", pb.DeleteUserRequest(user_id="x" * 257), "user_id is 'x+\\.\\.\\.; allowed: 1–256 bytes"),
]


@pytest.mark.parametrize(("method", "request_", "message"), REFUSED)
async def test_a_malformed_call_is_refused(stub: EventServiceStub, method: str, request_: object, message: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=message) as caught:
        await getattr(stub, method)(request_)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_pages_follow_each_other_newest_first(stub: EventServiceStub) -> None:
    events = [event(item_id=f"item-{i}", **at(i)) for i in range(250)]
    await stub.RecordEvents(pb.RecordEventsRequest(events=events))
    seen: list[pb.Event] = []
    request = pb.GetHistoryRequest(user_id="anna")
    sizes = []
    while True:
        page = await stub.GetHistory(request)
        sizes.append(len(page.events))
        assert page.total_size == 250
        seen += page.events
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sizes == [100, 100, 50]
    assert seen == events[::-1]


async def test_an_unknown_user_has_an_empty_history_and_can_be_deleted(stub: EventServiceStub) -> None:
    assert await stub.GetHistory(pb.GetHistoryRequest(user_id="nobody")) == pb.GetHistoryResponse()
    assert await stub.DeleteUser(pb.DeleteUserRequest(user_id="nobody")) == pb.DeleteUserResponse()


async def test_a_deleted_user_has_no_history(stub: EventServiceStub) -> None:
    await stub.RecordEvents(pb.RecordEventsRequest(events=[event(), event(user_id="ben")]))
    assert await stub.DeleteUser(pb.DeleteUserRequest(user_id="anna")) == pb.DeleteUserResponse(deleted_events=1)
    assert await stub.GetHistory(pb.GetHistoryRequest(user_id="anna")) == pb.GetHistoryResponse()
    assert (await stub.GetHistory(pb.GetHistoryRequest(user_id="ben"))).total_size == 1
