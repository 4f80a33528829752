"""An unmodified tritonclient and perf_analyzer work, and Triton itself gives the codes that we give, side by side."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from inference_requests import DIFFERENT, GOOD, ODD, method

from serving.triton_clients import TritonClients

both = pytest.mark.parametrize("transport", ["native", "grpcio"])


@both
async def test_tritonclient_calls_in_each_of_its_ways(start: Any, triton: TritonClients, transport: str) -> None:
    async with start(transport=transport) as running:
        told = await asyncio.to_thread(triton.call, f"127.0.0.1:{running.server.port}")
    answer = {"ids": [3, 10], "scores": [3, 10]}
    assert (told["live"], told["ready"], told["aio live"], told["server"]) == (True, True, True, "honeyguide")
    assert told["model ready"] == [True, False]
    assert told["metadata"] == {"name": "history", "datatype": "BYTES", "shape": ["-1", "-1"]}
    assert told["config"] == 256
    assert told["index"] == ["tiny", "tiny_ranker"]
    assert told["infer"] == told["async infer"] == told["aio infer"] == answer
    assert told["infer by parameters"] == {"ids": [3, 4], "scores": [3, 4]}
    assert told["aio stream"] == [answer] * 3
    assert told["stream"] == ["0", "1", "no model 'nowhere'; ", "3", "4"]
    assert told["queue"] == 7
    assert told["unload and load"] == ["OK", False, "OK", True]
    assert told["codes"] == {"unknown model": "NOT_FOUND", **dict.fromkeys(_NOT_OFFERED, "UNIMPLEMENTED")}


_NOT_OFFERED = ("override", "classification", "shared memory", "trace", "log")


@both
@pytest.mark.parametrize("words", [(), ("--async",), ("--async", "--streaming"), ("-b", "8")], ids="_".join)
async def test_perf_analyzer_measures(
    start: Any, triton: TritonClients, transport: str, words: tuple[str, ...]
) -> None:
    async with start(transport=transport) as running:
        address = f"127.0.0.1:{running.server.port}"
        figures = await asyncio.to_thread(triton.analyze, address, *words, "--concurrency-range", "4", requests=50)
        asked = running.server.metrics.requests.labels("/inference.GRPCInferenceService/ModelInfer")._value.get()
    assert figures["Concurrency"] == 4
    assert figures["Inferences/Second"] > 0
    assert figures["Server Compute Infer"] > 0, "it found the statistics of the version that serves"
    assert asked >= 50


async def test_triton_gives_the_codes_that_we_give(start: Any, oracle: str) -> None:
    async with start() as running, grpc.aio.insecure_channel(oracle) as channel:
        for what, request in (GOOD | ODD).items():
            ours, theirs = [await _code(each, request) for each in (running.channel, channel)]
            assert ours == theirs, what
            assert (ours == "OK") == (what in GOOD), what
        for what, (request, code) in DIFFERENT.items():
            assert await _code(running.channel, request) == code, what
            if what != "unknown parameter":  # Triton leaves it to the model
                assert await _code(channel, request) != code, what


async def _code(channel: grpc.aio.Channel, request: Any) -> str:
    try:
        await method(channel, "ModelInfer")(request, timeout=20)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
