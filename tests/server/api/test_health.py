"""Health and reflection, as generic tools ask for them (`health.py`, `reflection.py`)."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from honeyguide.v1.model_service_pb2 import UnloadModelRequest

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    return int((await call(HealthCheckRequest(service=service))).status)


async def test_health_knows_every_service_and_whether_a_model_is_loaded(start: Any) -> None:
    async with start() as running:
        names = ("", *(f"honeyguide.v1.{name}Service" for name in ("Recommender", "Event", "Model")))
        assert [await health(running.channel, name) for name in names] == [SERVING] * 4
        for model in ("tiny", "tiny_ranker"):
            await running.models.UnloadModel(UnloadModelRequest(name=model))
        assert [await health(running.channel, name) for name in names] == [NOT_SERVING] * 2 + [SERVING] * 2
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(running.channel, "nobody")
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_every_service(start: Any, version: str) -> None:
    async with start() as running:
        call = running.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )

        async def ask(**request: str) -> Any:
            (answer,) = [a async for a in call(iter([ServerReflectionRequest(**request)]))]
            return answer

        listed = (await ask(list_services="")).list_services_response.service
        names = {service.name for service in listed}
        assert names == {
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "honeyguide.v1.EventService",
            "honeyguide.v1.ModelService",
            "honeyguide.v1.RecommenderService",
            "inference.GRPCInferenceService",
        }
        for name in names:
            files = (await ask(file_containing_symbol=name)).file_descriptor_response.file_descriptor_proto
            pool = DescriptorPool()
            for file in reversed(files):  # what is imported comes behind what imports it
                pool.Add(FileDescriptorProto.FromString(file))
            assert pool.FindServiceByName(name).methods
        for name in ("rpc.Status", "rpc.ErrorInfo", "rpc.BadRequest", "rpc.RetryInfo", "rpc.Code", "protobuf.Any"):
            described = await ask(file_containing_symbol=f"google.{name}")
            assert described.file_descriptor_response.file_descriptor_proto, name


async def test_a_watch_hears_not_serving_and_holds_up_no_stop(start: Any) -> None:
    async with start(drain_seconds=30) as running:
        watch = HealthStub(running.channel).Watch(HealthCheckRequest())
        assert (await watch.read()).status == HealthCheckResponse.SERVING
        began = asyncio.get_running_loop().time()
        await running.server.stop()
        assert asyncio.get_running_loop().time() - began < 15
        assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
