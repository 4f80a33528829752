"""Whatever bytes and messages arrive, a call is answered or refused: never a fault of the server, never a traceback."""

from __future__ import annotations

import logging
import random
import string
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2
from honeyguide.v1.model_service_pb2 import SetTrafficRequest, Traffic

PIPELINES = {name: {"model": name} for name in ("tiny", "tiny_ranker")}
"""Traffic can be set of pipelines that the settings name alone; what they need cannot be unloaded."""
METHODS = [
    method
    for file in (recommender_service_pb2, event_service_pb2, model_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
CALLS = 40
"""Of each rpc, by each way of making bytes."""
INTEGERS = (0, 1, -1, 3, 10, 1000, 1001, 2**31 - 1, -(2**31))
LONG_INTEGERS = (*INTEGERS, 1_700_000_000_000, 2**53 + 1, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.5, -1.0, 3e38, -3e38, 1e-45, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "",
    "item-1",
    "item-2",
    "tiny",
    "u",
    "\0",
    "'; DROP TABLE events",
    "../..",
    "é" * 129,
    "\U0001f426" * 70,
    "W10=",
)


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def random_message(kind: type[Message], dice: random.Random, wild: float) -> Any:
    """Makes a message of some fields, each with an ordinary value or, as often as ``wild`` says, with any at all."""
    message: Any = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.containing_oneof and message.WhichOneof(field.containing_oneof.name):
            continue
        if dice.random() < 0.2:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of_value = field.message_type.fields_by_name["value"]
            for _ in range(2):
                value = random_value(of_value, dice, wild)
                if of_value.message_type is None:
                    getattr(message, field.name)[dice.choice(TEXTS)] = value
                else:
                    getattr(message, field.name)[dice.choice(TEXTS)].CopyFrom(value)
        elif field.is_repeated:
            length = dice.choice((0, 1, 5)) if dice.random() < wild else 2
            getattr(message, field.name).extend(random_value(field, dice, wild) for _ in range(length))
        elif field.message_type:
            getattr(message, field.name).CopyFrom(random_value(field, dice, wild))
        else:
            setattr(message, field.name, random_value(field, dice, wild))
    return message


def random_value(field: FieldDescriptor, dice: random.Random, wild: float) -> Any:
    strange = dice.random() < wild
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            return random_message(GetMessageClass(field.message_type), dice, wild)
        case FieldDescriptor.CPPTYPE_STRING if strange:
            letters = "".join(dice.choices(string.printable, k=dice.randrange(1, 20)))
            return dice.choice((*TEXTS, letters))
        case FieldDescriptor.CPPTYPE_STRING:
            named = {"page_token": "", "name": "tiny", "pipeline": "tiny"}
            return named.get(field.name, f"item-{dice.randrange(60)}")
        case FieldDescriptor.CPPTYPE_BOOL:
            return dice.random() < 0.5
        case FieldDescriptor.CPPTYPE_FLOAT:
            return dice.choice(FLOATS) if strange else 1.5
        case FieldDescriptor.CPPTYPE_INT64:
            return dice.choice(LONG_INTEGERS) if strange else 1
    return dice.choice(INTEGERS) if strange else 3


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Changes, drops or doubles a few bytes."""
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(len(changed) + 1)
        changed[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(changed)


def requests(kind: type[Message], dice: random.Random) -> Iterator[bytes]:
    yield b""  # a message without a field
    if kind is SetTrafficRequest:  # chance hardly ever names arms that there are
        yield SetTrafficRequest(traffic=Traffic()).SerializeToString()
    for _ in range(CALLS):
        data = random_message(kind, dice, dice.choice((0.0, 0.05, 0.5))).SerializeToString()
        yield data
        yield mutated(data, dice)
        yield dice.randbytes(dice.randrange(1, 60))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_no_request_is_a_fault_of_the_server(
    start: Any, log: list[Any], caplog: pytest.LogCaptureFixture, method: Any
) -> None:
    dice = random.Random(7)
    kind, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    path = f"/{method.containing_service.full_name}/{method.name}"
    codes = []
    with caplog.at_level(logging.WARNING):
        async with start(pipelines=PIPELINES if method.name == "SetTraffic" else {}) as running:
            for data in requests(kind, dice):
                try:
                    if method.client_streaming:
                        first = recommender_service_pb2.RecommendStreamRequest(options={"k": 3}).SerializeToString()
                        sent = [data] if dice.random() < 0.2 else [first, data, data]
                        call = running.channel.stream_stream(path, bytes, answer.FromString)(iter(sent), timeout=20)
                        answers = [one async for one in call]
                        assert [one for one in answers if one.error.code == grpc.StatusCode.INTERNAL.value[0]] == []
                    else:
                        await running.channel.unary_unary(path, bytes, answer.FromString)(data, timeout=20)
                    codes.append(grpc.StatusCode.OK)
                except grpc.aio.AioRpcError as error:
                    codes.append(error.code())
    # No model of this server places new items.
    good = grpc.StatusCode.FAILED_PRECONDITION if method.name == "UpsertItems" else grpc.StatusCode.OK
    assert {good, grpc.StatusCode.INVALID_ARGUMENT} <= set(codes)
    assert {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}.isdisjoint(codes)
    assert [line for line in log if line["log_level"] in ("error", "critical")] == []
    assert [record.getMessage() for record in caplog.records] == []
