"""What one caller takes is bounded: its rate, its streams, the events of a user; others notice nothing."""

from __future__ import annotations

import time
from math import ceil
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from inference_requests import infer_request, method

from honeyguide.sdk.errors import RateExceeded
from honeyguide.server.access.limits import CallerLimits
from honeyguide.server.access.tokens import new_token
from honeyguide.server.settings import CallerSettings
from honeyguide.v1.event_service_pb2 import Event, RecordEventsRequest
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import (
    RecommendRequest,
    RecommendStreamRequest,
    StreamOptions,
    UserBatch,
    UserRow,
)

both = pytest.mark.parametrize("transport", ["native", "grpcio"])
KNOWN = History(item_ids=["item-3"])


class Clock:
    """A clock that stands."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock, **given: Any) -> CallerLimits:
    return CallerLimits("shop", CallerSettings(roles=("recommend",), sha256="0" * 64, **given), clock, clock)


def test_a_call_of_many_rows_takes_of_the_time_to_come() -> None:
    clock = Clock()
    bucket = limits(clock, requests_per_second=10, burst=3)
    bucket.take()
    bucket.take_more(20)  # more than there is room for at once: 21 in all, 18 of them owed
    with pytest.raises(RateExceeded) as caught:
        bucket.take()
    assert caught.value.retry_after == pytest.approx(1.9)
    clock.now += 2.0
    bucket.take()
    with pytest.raises(RateExceeded):
        bucket.take_more(20)  # not twice in a row


@both
async def test_each_row_of_an_inference_is_a_request(start: Any, transport: str, tmp_path: Any) -> None:
    file, token = tmp_path / "tokens.toml", new_token()
    file.write_text(token.to_toml("shop", ["recommend"]) + "requests_per_second = 1\nburst = 3\n", "utf-8")
    metadata = [("authorization", f"Bearer {token.token}")]
    async with start(transport=transport, tokens=file) as running:
        infer = method(running.channel, "ModelInfer")
        await infer(infer_request([["item-3"]] * 30, "tiny"), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await infer(infer_request([["item-3"]], "tiny"), metadata=metadata)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_bucket_fills_at_its_rate_up_to_its_burst() -> None:
    clock = Clock()
    bucket = limits(clock, requests_per_second=10, burst=3)
    for _ in range(3):
        bucket.take()
    with pytest.raises(RateExceeded, match="shop may send 10 requests a second, 3 at once") as caught:
        bucket.take()
    assert caught.value.retry_after == pytest.approx(0.1)
    clock.now += 0.1
    bucket.take()
    clock.now += 60
    for _ in range(3):
        bucket.take()
    with pytest.raises(RateExceeded):
        bucket.take()


def test_streams_take_of_the_time_to_come() -> None:
    clock = Clock()
    bucket = limits(clock, requests_per_second=100)
    assert [bucket.delay(n) for n in (100, 256, 0)] == [0.0, pytest.approx(2.56), pytest.approx(2.56)]
    with pytest.raises(RateExceeded) as caught:
        bucket.take()
    assert caught.value.retry_after == pytest.approx(2.57)


def test_events_of_one_user_are_counted_by_day() -> None:
    clock = Clock()
    day = limits(clock, events_per_user=2)
    for user in ("u", "u", "v"):
        day.take_event(user)
    with pytest.raises(RateExceeded, match="shop may record 2 events of one user in a day"):
        day.take_event("u")
    day.take_event("v")
    day.return_events(["u"])
    day.take_event("u")
    clock.now += 86_400
    day.take_event("u")


def test_what_is_not_limited_costs_nothing() -> None:
    free = limits(Clock())
    for _ in range(1000):
        free.take()
        free.take_event("u")
    assert free.delay(1000) == 0.0


def test_streams_at_once() -> None:
    two = limits(Clock(), streams=2)
    with two.stream(), two.stream(), pytest.raises(RateExceeded, match="shop has 2 streams open"), two.stream():
        pass
    with two.stream():
        pass


async def rejected(call: Any, *, by_front: bool = False) -> tuple[str, float]:
    """Returns the reason of a refusal, and when to try again; the native front leaves gRPC's own retries untold."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    info, retry = details.ErrorInfo(), details.RetryInfo()
    trailers = dict(caught.value.trailing_metadata() or ())
    for part in Status.FromString(trailers["grpc-status-details-bin"]).details:
        part.Unpack(info)
        part.Unpack(retry)
    # For the retries that gRPC does itself, which read no details; a little later than these say.
    told = None if by_front else str(ceil(retry.retry_delay.ToNanoseconds() / 1e6) + 20)
    assert trailers.get("grpc-retry-pushback-ms") == told
    return info.reason, retry.retry_delay.ToNanoseconds() / 1e9


@both
async def test_a_caller_over_its_rate_is_told_when_to_come_back_and_others_go_on(start: Any, transport: str) -> None:
    busy, calm = new_token(), new_token()
    given = {
        "busy": {
            "roles": ["recommend", "record"],
            "sha256": busy.sha256,
            "requests_per_second": 0.01,
            "burst": 4,
            "streams": 1,
            "events_per_user": 2,
        },
        "calm": {"roles": ["recommend"], "sha256": calm.sha256, "requests_per_second": 40, "burst": 1, "streams": 1},
    }
    mine, other = ([("authorization", f"Bearer {token.token}")] for token in (busy, calm))
    async with start(transport=transport, callers=given) as running:
        events = [Event(user_id=user, item_id="item-1") for user in ("u", "u", "u", "v")]
        answer = await running.events.RecordEvents(RecordEventsRequest(events=events), metadata=mine)
        assert (answer.accepted, [(r.index, r.error.code) for r in answer.rejected]) == (3, [(2, 8)])
        open_one = running.recommender.RecommendStream(metadata=mine)
        await open_one.write(RecommendStreamRequest(options=StreamOptions(k=2)))
        await open_one.write(RecommendStreamRequest(batch=UserBatch(rows=[UserRow(history=KNOWN)])))
        assert len((await open_one.read()).rows) == 1
        assert (await rejected(running.recommender.RecommendStream(metadata=mine).read()))[0] == "RATE_EXCEEDED"
        open_one.cancel()
        # Four at once: the events, two streams, and a user of a batch.
        call = running.recommender.Recommend(RecommendRequest(history=KNOWN), metadata=mine)
        reason, after = await rejected(call, by_front=transport == "native")
        assert (reason, 90 < after <= 100) == ("RATE_EXCEEDED", True)
        rows = [UserRow(history=KNOWN)] * 8
        messages = [RecommendStreamRequest(options=StreamOptions(k=2))]
        messages += [RecommendStreamRequest(batch=UserBatch(sequence=n, rows=rows)) for n in range(3)]
        began = time.perf_counter()
        call = running.recommender.RecommendStream(iter(messages), metadata=other)
        assert [row.sequence async for row in call] == [0, 1, 2], "a stream over the rate is slowed, not ended"
        assert time.perf_counter() - began >= 0.5
