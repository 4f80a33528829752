"""A transport carries the services it was given, on a port that it says, through the interceptors."""

from __future__ import annotations

import socket
from typing import Any

import grpc
import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.api.health import HealthServicer
from honeyguide.server.transport.grpcio import GrpcioTransport
from honeyguide.server.transport.ports import address_of, check_free
from honeyguide.server.transport.services import Services, Transport
from honeyguide.v1.event_service_pb2_grpc import EventServiceServicer
from honeyguide.v1.model_service_pb2 import ListModelsRequest, ListModelsResponse
from honeyguide.v1.model_service_pb2_grpc import ModelServiceServicer, ModelServiceStub
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceServicer


class Models(ModelServiceServicer):
    async def ListModels(self, request: Any, context: Any) -> ListModelsResponse:  # noqa: N802  # the rpc's name
        return ListModelsResponse(next_page_token="more")


class Counting(grpc.aio.ServerInterceptor):
    def __init__(self) -> None:
        self.methods: list[str] = []

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        self.methods.append(handler_call_details.method)
        return await continuation(handler_call_details)


def services(*interceptors: grpc.aio.ServerInterceptor) -> Services:
    return Services(RecommenderServiceServicer(), EventServiceServicer(), Models(), HealthServicer(), interceptors)


async def test_calls_reach_the_services_through_the_interceptors_until_the_stop() -> None:
    counting = Counting()
    transport: Transport = GrpcioTransport(services(counting), "127.0.0.1", 0)
    await transport.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{transport.port}") as channel:
        stub: Any = ModelServiceStub(channel)
        assert (await stub.ListModels(ListModelsRequest())).next_page_token == "more"
        assert counting.methods == ["/honeyguide.v1.ModelService/ListModels"]
        await transport.stop(None)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListModels(ListModelsRequest(), timeout=5)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    check_free("127.0.0.1", transport.port)


async def test_a_port_that_is_taken_is_named_with_the_remedy() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        says = rf"cannot listen on 127.0.0.1, port {port}: stop .* --port"
        with pytest.raises(ConfigError, match=says):
            check_free("127.0.0.1", port)
        with pytest.raises(ConfigError, match=says):
            GrpcioTransport(services(), "127.0.0.1", port)


def test_any_free_port_is_free_and_an_ipv6_host_gets_brackets() -> None:
    check_free("127.0.0.1", 0)
    assert address_of("::1", 50051) == "[::1]:50051"
    assert address_of("localhost", 50051) == "localhost:50051"
