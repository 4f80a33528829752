"""Logs hold nothing of what was asked, and no flood of lines, whatever clients send."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from honeyguide.sdk.errors import Malformed
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.ops.metrics import Metrics
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2

pytestmark = pytest.mark.slow(6)

METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in (recommender_service_pb2, event_service_pb2, model_service_pb2, health_pb2, reflection_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if method.name != "List"  # of health: not in every version
}
SECRET = "ann-of-green-gables"


@pytest.mark.parametrize("transport", ["native", "grpcio"])
async def test_bytes_that_are_no_message_are_malformed_on_every_rpc(start: Any, transport: str) -> None:
    with structlog.testing.capture_logs() as log:
        async with start(transport=transport) as running:
            for path, method in METHODS.items():
                for data in (b"\xff\xff\xff", b"\x0a\x05ab", b"\x1f\x8bbroken"):
                    error = await refused(running.channel, path, method, data)
                    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, (path, data, error.details())
                    assert b"MALFORMED" in dict(error.trailing_metadata())["grpc-status-details-bin"]
            counted = running.server.metrics.registry.get_sample_value
            for path in METHODS:
                assert counted("honeyguide_errors_total", {"method": path, "reason": "MALFORMED"}) == 3
    assert [line for line in log if line["log_level"] == "error" or "exc_info" in line] == []


def test_a_flood_of_malformed_calls_is_a_line_a_second() -> None:
    outcomes = Outcomes(Metrics())
    with structlog.testing.capture_logs() as log:
        for _ in range(100):
            outcomes.refuse("/x", "a" * 32, Malformed("no message"))
        outcomes._next_malformed = 0.0
        outcomes.refuse("/x", "a" * 32, Malformed("no message"))
    lines = [line for line in log if line["log_level"] != "debug"]
    assert [(line["event"], line["count"]) for line in lines] == [
        ("bytes that are no message", 1),
        ("bytes that are no message", 100),
    ]


async def test_no_log_at_any_level_holds_a_user_or_an_item(start: Any) -> None:
    with structlog.testing.capture_logs() as log:
        async with start() as running:
            for path, method in METHODS.items():
                for request in asked(GetMessageClass(method.input_type)):
                    await refused(running.channel, path, method, request.SerializeToString())
    assert len(log) > len(METHODS) // 2
    assert SECRET not in str(log)


def asked(kind: Any) -> list[Any]:
    """Makes requests with the secret in every field of text, and others that are refused for their numbers besides."""
    full = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.cpp_type == field.CPPTYPE_STRING:
            getattr(full, field.name).append(SECRET) if field.is_repeated else setattr(full, field.name, SECRET)
        elif field.message_type and field.message_type.full_name.startswith("honeyguide") and not field.is_repeated:
            getattr(full, field.name).CopyFrom(asked(GetMessageClass(field.message_type))[0])
    wrong = kind()
    wrong.CopyFrom(full)
    for field in kind.DESCRIPTOR.fields:
        if field.cpp_type == field.CPPTYPE_INT32 and not field.is_repeated:
            setattr(wrong, field.name, -1)
    return [full, wrong]


async def refused(channel: Any, path: str, method: Any, data: bytes) -> Any:
    """Sends bytes; returns the error, None: there was none."""
    answer = GetMessageClass(method.output_type)
    try:
        if method.client_streaming:
            async for _ in channel.stream_stream(path, bytes, answer.FromString)(iter([data]), timeout=10):
                pass
        elif method.server_streaming:
            await channel.unary_stream(path, bytes, answer.FromString)(data, timeout=3).read()
        else:
            await channel.unary_unary(path, bytes, answer.FromString)(data, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error
    return None
