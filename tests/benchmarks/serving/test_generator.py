"""Holds `wire.py` and `generator.py` against a real gRPC server: every call counted, by its status and its bytes."""

import asyncio
from pathlib import Path

import grpc
import pytest

from serving.generator import Specification, generate, percentiles, write_sequence
from serving.wire import decode, encode, frames

PATHS = ["/test.Test/Echo", "/test.Test/Full", "/test.Test/Unknown"]


async def serve_and_generate(calls, folder: Path, options=(), **how):
    """Serves Echo, and Full, which refuses every call; returns what a generator says of it."""

    async def echo(request, context):
        return request

    async def full(request, context):
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", (("some", "trailer"),))

    server = grpc.aio.server(options=options)
    methods = {"Echo": echo, "Full": full}
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Test", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sequence = str(write_sequence(folder / "sequence", iter(calls)))
    try:
        return await asyncio.to_thread(generate, Specification(("127.0.0.1", port), PATHS, sequence, **how))
    finally:
        await server.stop(None)


async def test_callers_make_every_call_and_know_its_status(tmp_path):
    calls = [(0, b"a" * 100), (1, b""), (2, b"")]
    result = await serve_and_generate(calls, tmp_path, connections=3, callers=6, requests=30)
    (phase,) = result["phases"]
    assert phase["statuses"] == {"0": 10, "8": 10, "12": 10}
    assert phase["bytes"] == [(len(frames(b"a" * 100)), 10)]
    assert phase["by_path"][PATHS[0]]["count"] == 10
    assert 0 < phase["ok"]["p50_ms"] <= phase["ok"]["p99_ms"] < 10_000


async def test_an_open_loop_offers_what_was_asked(tmp_path):
    phases = [(100, 0.3), (400, 0.2)]
    result = await serve_and_generate([(0, b"a")], tmp_path, connections=1, phases=phases, timeout=5.0)
    assert [phase["offered"] for phase in result["phases"]] == pytest.approx([30, 80], abs=2)
    assert all(set(phase["statuses"]) == {"0"} for phase in result["phases"])


async def test_a_connection_that_the_server_leaves_is_renewed(tmp_path):
    options = [("grpc.max_connection_age_ms", 150), ("grpc.max_connection_age_grace_ms", 2000)]
    how = {"connections": 2, "phases": [(200, 1.0)], "timeout": 5.0}
    result = await serve_and_generate([(0, b"a")], tmp_path, options, **how)
    assert set(result["phases"][0]["statuses"]) == {"0"}
    assert result["connections_renewed"] >= 2


def test_percentiles_are_of_the_values_themselves():
    assert percentiles([number / 1e3 for number in range(200)]) == {"p50_ms": 100.0, "p99_ms": 198.0}
    assert percentiles([]) == {}


def test_what_is_encoded_is_decoded():
    message = encode((1, "name"), (3, (1, 300)), (7, b"\0\1"), (9, 2**40))
    assert decode(message) == {1: [b"name"], 3: [b"\x01\xac\x02"], 7: [b"\0\1"], 9: [2**40]}
