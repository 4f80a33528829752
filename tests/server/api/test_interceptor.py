"""Tests of the error interceptor against a real server with a toy service.

An error becomes a status with every detail of `violations.py`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
import structlog
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2_grpc import HealthStub, add_HealthServicer_to_server
from grpc_status import rpc_status

from honeyguide.sdk import errors
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.api.reading import MAX_MESSAGE_BYTES
from honeyguide.server.api.statuses import DOMAIN, reason_of, to_row_error
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.calls import RequestIds
from honeyguide.v1.errors_pb2 import ErrorReason

LEAKY = "cannot read /srv/secret/models/cf/3/bundle.json"
ERRORS = {
    "invalid": lambda: errors.InvalidArgument("k", 0, "1–1,000"),
    "missing": lambda: errors.ModelNotFound("no model 'x'; there are: cf", "name", "x", ["cf"]),
    "busy": lambda: errors.OverCapacity("64 users wait", 0.25),
    "bundle": lambda: errors.CorruptBundle(LEAKY),
    "long": lambda: errors.PipelineNotFound("no pipeline " + "é" * 50_000, "pipeline", "é" * 50_000),
    "bug": lambda: KeyError(LEAKY),
}


class Toy:
    """Says hello, fails by name, or waits."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        self.ids.append(structlog.contextvars.get_contextvars()["request_id"])
        if request.value in ERRORS:
            error = ERRORS[request.value]()
            raise error
        if request.value == "abort":
            await context.abort(grpc.StatusCode.ABORTED, "by choice")
        if request.value == "wait":
            self.entered.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return StringValue(value=f"hello {request.value}")

    async def stream(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield await self.unary(request, context)

    async def collect(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        return await self.unary([r async for r in requests][-1], context)

    async def endless(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            while True:
                yield request
                await asyncio.sleep(0)
        finally:
            self.cancelled.set()

    async def written(self, request: StringValue, context: Any) -> None:
        await context.write(await self.unary(request, context))

    async def late(self, request: StringValue, context: Any) -> None:
        try:
            await context.write(request)  # on a busy machine this one may hear of it already
            with contextlib.suppress(asyncio.CancelledError):  # so that its next write hears of it first
                await asyncio.sleep(60)
            await context.write(request)
        finally:
            self.cancelled.set()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest_asyncio.fixture
async def toy(metrics: Metrics, log: list[Any]) -> AsyncIterator[tuple[Toy, grpc.aio.Channel]]:
    toy = Toy()
    limit = ("grpc.max_receive_message_length", 2 * MAX_MESSAGE_BYTES)
    server = grpc.aio.server(interceptors=[ErrorInterceptor(Outcomes(metrics), RequestIds())], options=[limit])
    kinds = {
        "Unary": (grpc.unary_unary_rpc_method_handler, toy.unary),
        "Stream": (grpc.stream_stream_rpc_method_handler, toy.stream),
        "Collect": (grpc.stream_unary_rpc_method_handler, toy.collect),
        "Written": (grpc.unary_stream_rpc_method_handler, toy.written),
        "Endless": (grpc.unary_stream_rpc_method_handler, toy.endless),
        "Late": (grpc.unary_stream_rpc_method_handler, toy.late),
    }
    handlers = {
        name: build(call, StringValue.FromString, StringValue.SerializeToString)
        for name, (build, call) in kinds.items()
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("toy.Toy", handlers)])
    add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[limit]) as channel:
        yield toy, channel
    await server.stop(None)


def call(channel: grpc.aio.Channel, method: str) -> Any:
    kind = {"Unary": "unary_unary", "Stream": "stream_stream", "Collect": "stream_unary", "Written": "unary_stream"}
    return getattr(channel, kind[method])(f"/toy.Toy/{method}", StringValue.SerializeToString, StringValue.FromString)


async def ask(channel: grpc.aio.Channel, method: str, *words: str) -> list[str]:
    messages = [StringValue(value=word) for word in words]
    answer = call(channel, method)(iter(messages) if method in ("Stream", "Collect") else messages[0])
    if method in ("Unary", "Collect"):
        return [(await answer).value]
    return [message.value async for message in answer]


async def failure(channel: grpc.aio.Channel, method: str, word: str) -> tuple[grpc.StatusCode, Status]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(channel, method, word)
    trailing = caught.value.trailing_metadata()
    status = Status.FromString(next(value for key, value in trailing if key == "grpc-status-details-bin"))
    assert rpc_status.to_status(status).code == caught.value.code()
    assert status.message == caught.value.details()
    return caught.value.code(), status


def unpack(status: Status, kind: type[Any]) -> Any:
    for part in status.details:
        message = kind()
        if part.Unpack(message):
            return message
    return None


ALL = ("Unary", "Stream", "Collect", "Written")


@pytest.mark.parametrize("method", ALL)
async def test_an_answer_passes_unchanged(toy: tuple[Toy, grpc.aio.Channel], method: str) -> None:
    assert await ask(toy[1], method, "bird") == ["hello bird"]


async def test_a_stream_passes_every_message_in_order(toy: tuple[Toy, grpc.aio.Channel]) -> None:
    assert await ask(toy[1], "Stream", "a", "b", "c") == ["hello a", "hello b", "hello c"]


@pytest.mark.parametrize("method", ALL)
async def test_an_invalid_argument_names_its_field(toy: tuple[Toy, grpc.aio.Channel], method: str) -> None:
    code, status = await failure(toy[1], method, "invalid")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert status.message == "k is 0; allowed: 1–1,000"
    info = unpack(status, details.ErrorInfo)
    assert (info.domain, info.reason) == (DOMAIN, "INVALID_FIELD") == ("honeyguide", "INVALID_FIELD")
    (violation,) = unpack(status, details.BadRequest).field_violations
    assert (violation.field, violation.description) == ("k", status.message)
    assert {name: info.metadata[name] for name in ("field", "value", "allowed")} == {
        "field": "k",
        "value": "0",
        "allowed": "1–1,000",
    }


@pytest.mark.parametrize("method", ALL)
async def test_a_message_that_is_too_large_is_refused_for_good(
    toy: tuple[Toy, grpc.aio.Channel], metrics: Metrics, method: str
) -> None:
    code, status = await failure(toy[1], method, "x" * MAX_MESSAGE_BYTES)
    assert (code, unpack(status, details.ErrorInfo).reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE")
    assert "allowed: 8,388,608" in status.message
    assert toy[0].ids == []
    assert metrics.errors.labels(f"/toy.Toy/{method}", "TOO_LARGE")._value.get() == 1
    assert await ask(toy[1], method, "x" * (MAX_MESSAGE_BYTES - 100)) != []


@pytest.mark.parametrize("method", ["Unary", "Stream"])
async def test_bytes_that_are_no_message_are_refused_for_good(
    toy: tuple[Toy, grpc.aio.Channel], log: list[Any], method: str
) -> None:
    kind = {"Unary": toy[1].unary_unary, "Stream": toy[1].stream_stream}[method]
    raw = kind(f"/toy.Toy/{method}", bytes, StringValue.FromString)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = await raw(b"\xff") if method == "Unary" else [m async for m in raw(iter([b"\xff"]))]
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "no message of this call" in (caught.value.details() or "")
    assert [line for line in log if line["log_level"] == "error"] == []


async def test_over_capacity_says_when_to_come_back(toy: tuple[Toy, grpc.aio.Channel]) -> None:
    code, status = await failure(toy[1], "Unary", "busy")
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert unpack(status, details.RetryInfo).retry_delay.ToMilliseconds() == 250


async def test_an_unknown_name_keeps_its_reason(toy: tuple[Toy, grpc.aio.Channel]) -> None:
    code, status = await failure(toy[1], "Unary", "missing")
    assert (code, unpack(status, details.ErrorInfo).reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert status.message == "no model 'x'; there are: cf"
    facts = unpack(status, details.ErrorInfo).metadata
    assert (facts["field"], facts["value"], facts["existing"]) == ("name", "x", "cf")


@pytest.mark.parametrize("method", ALL)
async def test_a_bug_tells_the_client_nothing_but_the_request_id(
    toy: tuple[Toy, grpc.aio.Channel], log: list[Any], method: str
) -> None:
    code, status = await failure(toy[1], method, "bug")
    assert code == grpc.StatusCode.INTERNAL
    info = unpack(status, details.ErrorInfo)
    assert info.reason == "INTERNAL"
    assert info.metadata["request_id"] == toy[0].ids[-1]
    assert toy[0].ids[-1] in status.message
    assert not any(word in str(status) for word in ("secret", "KeyError", "Traceback", "honeyguide/server", "test_"))
    (line,) = [line for line in log if line["log_level"] == "error"]
    assert line["event"] == "request failed"
    assert line["exc_info"]


async def test_a_path_in_a_message_never_reaches_the_client(toy: tuple[Toy, grpc.aio.Channel]) -> None:
    code, status = await failure(toy[1], "Unary", "bundle")
    assert (code, status.message) == (grpc.StatusCode.FAILED_PRECONDITION, "cannot read <path>")


async def test_a_long_message_is_cut_to_what_fits_into_the_trailers(toy: tuple[Toy, grpc.aio.Channel]) -> None:
    code, status = await failure(toy[1], "Unary", "long")
    assert code == grpc.StatusCode.NOT_FOUND
    assert status.message == "no pipeline " + "é" * 494 + "…"


async def test_each_request_has_an_id_of_its_own(toy: tuple[Toy, grpc.aio.Channel]) -> None:
    await asyncio.gather(*(ask(toy[1], "Unary", "bird") for _ in range(20)))
    assert len(set(toy[0].ids)) == 20
    assert all(len(found) == 32 and int(found, 16) >= 0 for found in toy[0].ids)


async def test_a_cancelled_call_is_cancelled_in_the_server(toy: tuple[Toy, grpc.aio.Channel], metrics: Metrics) -> None:
    waiting = call(toy[1], "Unary")(StringValue(value="wait"))
    await asyncio.wait_for(toy[0].entered.wait(), 10)
    waiting.cancel()
    await asyncio.wait_for(toy[0].cancelled.wait(), 10)
    assert metrics.errors.labels("/toy.Toy/Unary", "CANCELLED")._value.get() == 1


async def test_a_stream_that_its_reader_leaves_ends_without_an_error(
    toy: tuple[Toy, grpc.aio.Channel], metrics: Metrics, log: list[Any]
) -> None:
    for _ in range(5):
        toy[0].cancelled.clear()
        answer = toy[1].unary_stream("/toy.Toy/Endless", StringValue.SerializeToString, StringValue.FromString)(
            StringValue(value="again")
        )
        assert (await answer.read()).value == "again"
        answer.cancel()
        await asyncio.wait_for(toy[0].cancelled.wait(), 10)
    await asyncio.sleep(0.05)
    assert [line for line in log if line["log_level"] == "error"] == []
    assert metrics.errors.labels("/toy.Toy/Endless", "CANCELLED")._value.get() == 5


async def test_a_write_to_a_client_that_left_counts_as_cancelled(
    toy: tuple[Toy, grpc.aio.Channel], metrics: Metrics, log: list[Any]
) -> None:
    open_stream = toy[1].unary_stream("/toy.Toy/Late", StringValue.SerializeToString, StringValue.FromString)
    answer = open_stream(StringValue(value="again"))
    assert (await answer.read()).value == "again"
    answer.cancel()
    await asyncio.wait_for(toy[0].cancelled.wait(), 10)
    await asyncio.sleep(0.05)
    assert [line for line in log if line["log_level"] == "error"] == []
    assert metrics.errors.labels("/toy.Toy/Late", "CANCELLED")._value.get() == 1
    assert metrics.errors.labels("/toy.Toy/Late", "INTERNAL")._value.get() == 0


async def test_a_status_chosen_by_the_servicer_stands(toy: tuple[Toy, grpc.aio.Channel]) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="by choice") as caught:
        await ask(toy[1], "Unary", "abort")
    assert caught.value.code() == grpc.StatusCode.ABORTED


async def test_an_unknown_method_is_unimplemented(toy: tuple[Toy, grpc.aio.Channel]) -> None:
    unknown = toy[1].unary_unary("/toy.Toy/Nothing", StringValue.SerializeToString, StringValue.FromString)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unknown(StringValue())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_the_health_service_of_the_library_works_behind_it(toy: tuple[Toy, grpc.aio.Channel]) -> None:
    stub = HealthStub(toy[1])
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="nothing"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_requests_and_errors_are_counted_and_timed(toy: tuple[Toy, grpc.aio.Channel], metrics: Metrics) -> None:
    for word in ("bird", "invalid", "invalid", "bug"):
        with contextlib.suppress(grpc.aio.AioRpcError):
            await ask(toy[1], "Unary", word)
    sample = metrics.registry.get_sample_value
    method = {"method": "/toy.Toy/Unary"}
    for _ in range(500):  # the client hears of a failed call a moment before it is counted
        if sample("honeyguide_request_seconds_count", method) == 4:
            break
        await asyncio.sleep(0.01)
    assert sample("honeyguide_requests_total", method) == 4
    assert sample("honeyguide_errors_total", method | {"reason": "INVALID_FIELD"}) == 2
    assert sample("honeyguide_errors_total", method | {"reason": "INTERNAL"}) == 1
    assert sample("honeyguide_request_seconds_count", method) == 4


def test_a_row_error_says_what_a_status_says() -> None:
    row = to_row_error(errors.InvalidArgument("history.dwell_seconds", -1, "0 or more"))
    assert (row.code, row.reason, row.field) == (3, ErrorReason.ERROR_REASON_INVALID_FIELD, "history.dwell_seconds")
    assert row.message == "history.dwell_seconds is -1; allowed: 0 or more"
    bug = to_row_error(ValueError(LEAKY))
    assert (bug.code, bug.reason, bug.field) == (13, ErrorReason.ERROR_REASON_INTERNAL, "")
    assert "secret" not in bug.message


def test_every_error_of_the_tree_has_a_code_that_grpc_knows() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        made = kind.__new__(kind)
        Exception.__init__(made, "text")
        made.message, made.field, made.others, made.facts = "text", "", (), {}
        row = to_row_error(made)
        assert row.code > 0
        assert reason_of(row) == kind.reason
