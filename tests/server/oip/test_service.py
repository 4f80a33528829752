"""Each rpc beside ModelInfer says what is so, and changes what it says it does, on both transports.

Named here: `service.py`, `streams.py`, `assembly.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from inference_requests import ODD, infer_request, method, read_output

from honeyguide.oip.v2 import inference_pb2 as pb

pytestmark = pytest.mark.slow(6)
both = pytest.mark.parametrize("transport", ["native", "grpcio"])
CODE = grpc.StatusCode


async def call(running: Any, rpc: str, **fields: Any) -> Any:
    return await method(running.channel, rpc)(getattr(pb, f"{rpc}Request")(**fields))


async def code_of(running: Any, rpc: str, **fields: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(running, rpc, **fields)
    return caught.value.code()


@both
async def test_server_and_models_describe_themselves(start: Any, transport: str) -> None:
    async with start(transport=transport) as running:
        assert (await call(running, "ServerLive")).live
        assert (await call(running, "ServerReady")).ready
        server = await call(running, "ServerMetadata")
        assert (server.name, list(server.extensions)) == (
            "honeyguide",
            ["model_repository", "model_configuration", "parameters", "statistics"],
        )
        for name in ("tiny", "tiny.user", "tiny_ranker.rank"):
            assert (await call(running, "ModelReady", name=name)).ready
            assert (await call(running, "ModelReady", name=name, version="1")).ready
            metadata = await call(running, "ModelMetadata", name=name)
            config = (await call(running, "ModelConfig", name=name)).config
            assert (metadata.name, list(metadata.versions), config.name) == (name, ["1"], name)
            assert config.max_batch_size == 256
            assert config.HasField("dynamic_batching")
            for tensors, fields in ((metadata.inputs, config.input), (metadata.outputs, config.output)):
                for tensor, field in zip(tensors, fields, strict=True):
                    word = pb.DataType.Name(field.data_type).removeprefix("DATA_TYPE_")
                    assert (tensor.name, tensor.datatype) == (field.name, word.replace("STRING", "BYTES"))
                    assert list(tensor.shape) == [-1, *field.dims]
        config = (await call(running, "ModelConfig", name="tiny")).config
        assert [(field.name, field.optional) for field in config.input] == [
            ("history", False),
            ("k", True),
            ("user_id", True),
        ]


async def test_what_is_not_there_is_told_as_triton_tells_it(start: Any) -> None:
    async with start() as running:
        for name, version in (("nowhere", ""), ("tiny", "9"), ("tiny.step", ""), ("", ""), ("tiny_ranker.", "")):
            assert not (await call(running, "ModelReady", name=name, version=version)).ready
            for rpc in ("ModelMetadata", "ModelConfig"):
                assert await code_of(running, rpc, name=name, version=version) == CODE.NOT_FOUND
            if name:
                assert await code_of(running, "ModelStatistics", name=name, version=version) == CODE.INVALID_ARGUMENT
        for rpc in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"):
            assert await code_of(running, rpc, name="tiny", version="x") == CODE.INVALID_ARGUMENT
        for rpc in ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"):
            assert await code_of(running, rpc, repository_name="x") == CODE.UNIMPLEMENTED
        for rpc in ("SystemSharedMemoryStatus", "CudaSharedMemoryStatus", "TraceSetting", "LogSettings"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await running.channel.unary_unary(f"/inference.GRPCInferenceService/{rpc}")(b"")
            assert caught.value.code() == CODE.UNIMPLEMENTED


async def test_statistics_are_of_all_models_or_one(start: Any) -> None:
    async with start() as running:
        infer = method(running.channel, "ModelInfer")
        for asked in (1, 2, 3):
            await infer(infer_request([["item-1"], ["item-2"]]))
            (one,) = (await call(running, "ModelStatistics", name="tiny")).model_stats
            assert one.inference_stats.queue.count == asked, "perf_analyzer finds no version else"
            assert one.inference_count == 2 * asked
        everything = (await call(running, "ModelStatistics")).model_stats
        names = ["tiny", "tiny_ranker", "tiny.user", "tiny_ranker.user", "tiny_ranker.rank"]
        assert [each.name for each in everything] == names


@both
async def test_repository_is_listed_loaded_and_unloaded_with_a_line_for_each(
    start: Any, repository: Path, tmp_path: Path, transport: str
) -> None:
    (repository / "odd" / "1").mkdir(parents=True)
    audit = tmp_path / "audit.jsonl"
    async with start(repository=repository, transport=transport, audit_log=audit) as running:
        models = (await call(running, "RepositoryIndex")).models
        listed = {(model.name, model.version): (model.state, bool(model.reason)) for model in models}
        assert listed == {
            ("tiny", "1"): ("READY", False),
            ("tiny_ranker", "1"): ("READY", False),
            ("odd", "1"): ("UNAVAILABLE", True),
        }
        assert len((await call(running, "RepositoryIndex", ready=True)).models) == 2
        await call(running, "RepositoryModelUnload", model_name="tiny")
        assert not (await call(running, "ModelReady", name="tiny")).ready
        assert await code_of(running, "RepositoryModelUnload", model_name="tiny") == CODE.NOT_FOUND
        await call(running, "RepositoryModelLoad", model_name="tiny")
        assert (await call(running, "ModelReady", name="tiny")).ready
        assert await code_of(running, "RepositoryModelLoad", model_name="nowhere") == CODE.NOT_FOUND
        assert await code_of(running, "RepositoryModelLoad", model_name="odd") == CODE.FAILED_PRECONDITION
        for name, code in (
            ("config", CODE.UNIMPLEMENTED),
            ("file:1/x", CODE.UNIMPLEMENTED),
            ("x", CODE.INVALID_ARGUMENT),
        ):
            parameters = {name: pb.ModelRepositoryParameter(string_param="{}")}
            assert await code_of(running, "RepositoryModelLoad", model_name="tiny", parameters=parameters) == code
        for name, value, code in (
            ("unload_dependents", {"bool_param": True}, CODE.UNIMPLEMENTED),
            ("unload_dependents", {"string_param": "x"}, CODE.INVALID_ARGUMENT),
            ("x", {"bool_param": True}, CODE.INVALID_ARGUMENT),
        ):
            parameters = {name: pb.ModelRepositoryParameter(**value)}
            assert await code_of(running, "RepositoryModelUnload", model_name="tiny", parameters=parameters) == code
        parameters = {"unload_dependents": pb.ModelRepositoryParameter(bool_param=False)}
        await call(running, "RepositoryModelUnload", model_name="tiny", parameters=parameters)
        await call(running, "RepositoryModelUnload", model_name="tiny_ranker")
        assert not (await call(running, "ServerReady")).ready
        assert await code_of(running, "ModelMetadata", name="tiny") == CODE.UNAVAILABLE
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    told = [(line["method"].rpartition("/")[2], line["what"].get("model_name"), line["result"]) for line in lines]
    assert told[:4] == [
        ("RepositoryModelUnload", "tiny", "OK"),
        ("RepositoryModelUnload", "tiny", "MODEL_NOT_FOUND"),
        ("RepositoryModelLoad", "tiny", "OK"),
        ("RepositoryModelLoad", "nowhere", "MODEL_NOT_FOUND"),
    ]
    assert len(told) == 13


@both
async def test_a_stream_answers_in_order_and_goes_on_after_an_error(start: Any, transport: str) -> None:
    requests = []
    for number in range(150):  # more than are read ahead
        request = pb.ModelInferRequest()
        request.CopyFrom(ODD["unknown model"] if number % 10 == 3 else infer_request([["item-1"]] * (1 + number % 3)))
        request.id = str(number)
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        requests.append(request)
    async with start(transport=transport) as running:
        stream = method(running.channel, "ModelStreamInfer")(iter(requests))
        answers = [answer async for answer in stream]
    assert [answer.infer_response.id for answer in answers] == [request.id for request in requests]
    for number, answer in enumerate(answers):
        if number % 10 == 3:
            assert answer.error_message.startswith("no model 'nowhere'")
            assert not answer.infer_response.outputs
        else:
            assert answer.error_message == ""
            assert read_output(answer.infer_response, "ids").shape == (1 + number % 3, 10)
            assert answer.infer_response.parameters["triton_final_response"].bool_param


async def test_a_stream_reads_ahead_no_further_than_it_may(start: Any) -> None:
    async def requests() -> AsyncIterator[pb.ModelInferRequest]:
        while True:
            yield infer_request([["item-1"]] * 256, k=[[60]])

    async with start(transport="grpcio", max_open_streams=1) as running:
        stream = method(running.channel, "ModelStreamInfer")(requests())
        await stream.read()
        asked = running.server.metrics.requests.labels("/inference.GRPCInferenceService/ModelInfer")._value.get
        before = 0
        while asked() != before:  # until the answers, which nobody reads, keep it from reading on
            before = asked()
            await asyncio.sleep(0.5)
        assert before < 500
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(running.channel, "ModelStreamInfer")(iter([infer_request()])).read()
        assert caught.value.code() == CODE.RESOURCE_EXHAUSTED
        stream.cancel()
        for _ in range(100):
            await asyncio.sleep(0.02)
            if running.server.workers.waiting == 0:
                break
        again = method(running.channel, "ModelStreamInfer")(iter([infer_request()]))
        assert len([answer async for answer in again]) == 1
