"""The service has the protocol's name on the wire, and none of its names in this process's descriptors."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from honeyguide.oip.v2 import inference_pb2
from honeyguide.server.oip.wire import INFER, SERVICE, wire_file


def test_another_file_may_define_the_protocol_in_this_process() -> None:
    with pytest.raises(KeyError):
        Default().FindMessageTypeByName("inference.ModelInferRequest")
    pool = DescriptorPool()  # as a client of Triton in a plugin has it, and ours beside
    pool.Add(wire_file())
    pool.AddSerializedFile(inference_pb2.DESCRIPTOR.serialized_pb)
    service = pool.FindServiceByName(SERVICE)
    assert f"/{service.full_name}/ModelInfer" == INFER
    ours = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert [m.name for m in service.methods] == [m.name for m in ours.methods]
    for method in service.methods:
        assert method.input_type.file.package == method.output_type.file.package == "inference"
    infer = pool.FindMessageTypeByName("inference.ModelInferRequest")
    tensor = infer.fields_by_name["inputs"].message_type
    assert tensor.full_name == "inference.ModelInferRequest.InferInputTensor"
    assert tensor.fields_by_name["contents"].message_type.full_name == "inference.InferTensorContents"
    assert infer.fields_by_name["parameters"].message_type.GetOptions().map_entry


async def test_reflection_shows_it_under_that_name(start: Any) -> None:
    async with start() as running:
        stub = ServerReflectionStub(running.channel)
        ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
        (answer,) = [a async for a in stub.ServerReflectionInfo(iter([ask]))]
    (file,) = answer.file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(file) == wire_file()
