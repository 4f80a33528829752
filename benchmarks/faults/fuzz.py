"""Sends messages of every kind to every rpc on both transports; each must end as `oracle.py` expects.

A third is valid, a third has any fields of any values, a third is bytes that may be no message. Both transports get
the same.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # Google ships no stubs
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

from faults.callers import Caller
from faults.messages import anything, crossed, draw, mutated, valid
from faults.oracle import ORACLES, Expected, expected_stream
from faults.registry import Bench, Outcome
from honeyguide.oip.v2 import inference_pb2
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2

__all__ = ["fuzz", "methods"]

_WINDOW = 48
"""Calls under way at a time."""
_POOL = 60
"""Messages that hypothesis draws of each kind; the others are crossed of these."""
_SLOW = {"LoadModel": 0.1, "UnloadModel": 0.1, "SetTraffic": 0.2, "DeleteUser": 0.3}
"""Rpcs that get a smaller share, since each call takes long."""
_STREAM = "RecommenderService/RecommendStream"
_KINDS = ("valid", "any fields", "bytes")

_MALFORMED = Expected({"INVALID_ARGUMENT"}, reason="MALFORMED")


@dataclass
class Sent:
    """One call: its messages as bytes, and what must come of them."""

    payloads: list[bytes]
    kind: str
    expected: Expected
    batches: list[list[bool] | None] = field(default_factory=list)


def methods() -> dict[str, MethodDescriptor]:
    """Returns every rpc by service and name, as a path has them."""
    files = (recommender_service_pb2, event_service_pb2, model_service_pb2, inference_pb2, health_pb2, reflection_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    found = {
        f"{service.full_name.replace('honeyguide.oip.v2.', 'inference.')}/{each.name}": each
        for service in services
        for each in service.methods
    }
    old = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    return found | {old.replace("v1alpha", "v1"): found[old]}


def fuzz(bench: Bench) -> Outcome:
    """Sends them all to a server of each transport, which must end each alike."""
    outcome = Outcome(figures={"messages": 0, "calls": 0, "ok": 0})
    count = bench.amount(50_000, 1_000)
    known = methods()
    shares = {name: _SLOW.get(method.name, 1.0) for name, method in known.items()}
    with (
        bench.server("native", transport="native") as native,
        bench.server("grpcio", transport="grpcio") as grpcio,
    ):
        begun = time.monotonic()
        for name, method in known.items():
            short_name = name.rpartition(".")[2]
            calls = list(_calls(short_name, method, max(3, int(count * shares[name] / sum(shares.values())))))
            ends: dict[str, list[str]] = {}

            def send(server: Any, of: str, name: str = name, method: Any = method, calls: Any = calls) -> None:
                with Caller(server.address) as caller:
                    ends[of] = _sent(caller, name, method, calls, outcome)  # noqa: B023  # it ends within the turn

            threads = [
                threading.Thread(target=send, args=(each, of)) for of, each in (("native", native), ("grpcio", grpcio))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if len(ends) == 2:
                apart = [pair for pair in zip(ends["native"], ends["grpcio"], strict=True) if pair[0] != pair[1]]
                outcome.add(transports_apart=len(apart))
                outcome.expect(
                    not apart, f"{short_name}: native and grpcio end {len(apart)} calls otherwise: {apart[:1]}"
                )
        outcome.figures["seconds"] = round(time.monotonic() - begun, 1)
        for server in (native, grpcio):
            outcome.expect(server.alive and server.serves(), "the server is gone")
            with Caller(server.address) as caller:
                outcome.expect(not (odd := missing_services(caller)), f"services that nothing is sent to: {odd}")
            tracebacks = sum("Traceback" in str(line) or "exception" in line for line in server.logged("error"))
            outcome.add(tracebacks=tracebacks)
            outcome.expect(not tracebacks, f"{tracebacks} tracebacks in its log")
    for code in ("INTERNAL", "UNKNOWN"):
        outcome.expect(not outcome.figures.get(code), f"{outcome.figures.get(code)} calls ended with {code}")
    return outcome


def _calls(name: str, method: MethodDescriptor, count: int) -> Iterator[Sent]:
    """Draws the calls of an rpc: `count` messages in all."""
    chance = random.Random(name)  # noqa: S311  # not for secrets
    each = count // 3 + 1
    if name == _STREAM:
        yield from _streams(each, chance)
        return
    kind = method.input_type
    oracle = ORACLES.get(name)
    if oracle is None:
        raise LookupError(f"oracle.py has nothing on {name}")
    good, odd = valid(kind), anything(kind)
    pools = [draw(odd if strategy is None else strategy, min(_POOL, each)) for strategy in (good, odd)]
    for label, pool in zip(_KINDS, pools, strict=False):
        for message in crossed(pool, each, chance):
            yield Sent([message.SerializeToString()], label, oracle(message))
    bytes_of = [message.SerializeToString() for message in itertools.chain(*pools)]
    for payload in mutated(bytes_of, each, chance):
        message = _read(method, payload)
        yield Sent([payload], _KINDS[2], _MALFORMED if message is None else oracle(message))


def _streams(each: int, chance: random.Random) -> Iterator[Sent]:
    """Draws streams: options, then one or two batches."""
    request = recommender_service_pb2.RecommendStreamRequest
    options, batch = recommender_service_pb2.StreamOptions.DESCRIPTOR, recommender_service_pb2.UserBatch.DESCRIPTOR
    pools = [[draw(of(kind), min(_POOL, each)) for kind in (options, batch)] for of in (valid, anything)]  # type: ignore[operator]
    loose = draw(anything(request.DESCRIPTOR), min(_POOL, each))

    def sequence(label: str) -> list[Any]:
        good_options, good_batches = pools[0]
        odd_options, odd_batches = pools[1]
        if label == "valid":
            first, then = good_options, good_batches
        else:  # mostly one part is odd, or the other would never be looked at
            first = chance.choice([good_options, odd_options])
            then = odd_batches
        messages: list[Any] = [request(options=next(crossed(first, 1, chance)))]
        messages += [request(batch=one) for one in crossed(then, chance.randint(1, 2), chance)]
        if label != "valid" and chance.random() < 0.3:
            messages.insert(chance.randint(0, len(messages)), chance.choice(loose))
        return messages

    for label in _KINDS:
        sent = 0
        while sent < each:
            payloads = [message.SerializeToString() for message in sequence("valid" if label == "bytes" else label)]
            if label == "bytes":
                place = chance.randrange(len(payloads))
                payloads[place] = next(mutated(payloads, 1, chance))
            read = [_parsed(request, payload) for payload in payloads]
            codes, batches = expected_stream(read)
            sent += len(payloads)
            yield Sent(payloads, label, Expected(codes, reason="MALFORMED" if read[:1] == [None] else ""), batches)


def _read(method: MethodDescriptor, payload: bytes) -> Message | None:
    return _parsed(GetMessageClass(method.input_type), payload)


def _parsed(kind: type[Message], payload: bytes) -> Message | None:
    try:
        return kind.FromString(payload)
    except DecodeError:
        return None


def _sent(caller: Caller, name: str, method: MethodDescriptor, calls: Sequence[Sent], outcome: Outcome) -> list[str]:
    """Makes the calls of an rpc; returns how each ended."""
    answer = GetMessageClass(method.output_type)
    streaming = (method.client_streaming, method.server_streaming)
    kinds = ("stream" if streaming[0] else "unary", "stream" if streaming[1] else "unary")
    call: Any = getattr(caller.channel, "_".join(kinds))(f"/{name}", response_deserializer=answer.FromString)
    window = 1 if method.name in ("LoadModel", "UnloadModel", "SetTraffic") else _WINDOW
    ends: list[str] = []
    for start in range(0, len(calls), window):
        part = calls[start : start + window]
        begun = [_begin(call, sent, streaming) for sent in part]
        for sent, future in zip(part, begun, strict=True):
            end, problem = _ended(sent, future, streaming)
            ends.append(end)
            outcome.add(calls=1, messages=len(sent.payloads), ok=end == "OK")
            if end not in ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"):
                outcome.add(**{end: 1})
            outcome.expect(not problem, f"{name} ({sent.kind}): {problem}: {sent.payloads[0][:60]!r}")
        if method.name == "UnloadModel" and ends[-1] == "OK":
            load = model_service_pb2.LoadModelRequest(name="recent")
            caller.models.LoadModel(load, timeout=30)
    return ends


def _begin(call: Any, sent: Sent, streaming: tuple[bool, bool]) -> Any:
    if streaming[0]:
        return call(iter(sent.payloads), timeout=20)
    if streaming[1]:
        return call(sent.payloads[0], timeout=20)
    return call.future(sent.payloads[0], timeout=20)


def _ended(sent: Sent, future: Any, streaming: tuple[bool, bool]) -> tuple[str, str]:
    """Waits for a call; returns how it ended and what is wrong with that, or nothing."""
    answers: list[Any] = []
    try:
        if not streaming[1]:
            answers.append(future.result())
        elif streaming[0]:
            answers.extend(future)
        else:
            answers.append(next(future))  # a watch goes on
            future.cancel()
        end = "OK"
    except grpc.RpcError as error:
        end = str(error.code().name)
        if end not in sent.expected.codes:
            return end, f"{end} {error.details()!r} in place of {' or '.join(sorted(sent.expected.codes))}"
        if wrong := _reason_wrong(error, sent.expected.reason):
            return end, wrong
    if end not in sent.expected.codes:
        return end, f"{end} in place of {' or '.join(sorted(sent.expected.codes))}"
    if end == "OK" and not streaming[1] and (wrong := sent.expected.check(answers[0])):
        return end, wrong
    return end, _batches_wrong(sent.batches, answers) if sent.batches and end == "OK" else ""


def _reason_wrong(error: Any, expected: str) -> str:
    """Says so where a refusal has no ErrorInfo or another reason; gRPC's own health has none for what it lacks."""
    if error.code() is grpc.StatusCode.NOT_FOUND and not error.details():
        return ""
    status = rpc_status.from_call(error)
    info = ErrorInfo()
    if status is None or not any(detail.Unpack(info) for detail in status.details):
        return f"{error.code().name} {error.details()!r} without an ErrorInfo"
    if info.domain != "honeyguide" or not info.reason or expected not in ("", info.reason):
        return f"{error.code().name} with the reason {info.reason!r}{f' in place of {expected}' * bool(expected)}"
    return ""


def _batches_wrong(expected: Sequence[list[bool] | None], answers: Sequence[Any]) -> str:
    for rows, answer in zip(expected, answers, strict=False):
        if rows is None:
            if not answer.HasField("error"):
                return "a batch out of its range was answered"
            continue
        came = [row.WhichOneof("result") == "ranked" for row in answer.rows]
        if came != rows:
            return f"rows {came} in place of {rows}"
        if any(row.error.code not in (0, 3) for row in answer.rows):
            return "a row's error that is not INVALID_ARGUMENT"
    return "" if len(answers) >= len(expected) else f"{len(answers)} answers to {len(expected)} batches"


def missing_services(caller: Caller) -> list[str]:
    """Returns what the server offers, by its own reflection, that `methods` lacks."""
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    offered = ProtoReflectionDescriptorDatabase(caller.channel).get_services()  # type: ignore[no-untyped-call]
    return sorted(set(offered) - {name.partition("/")[0] for name in methods()})
