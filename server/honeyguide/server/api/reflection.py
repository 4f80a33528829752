"""Serves reflection in both versions that tools ask for; the library has v1alpha, whose messages v1 shares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]  # Google ships no stubs
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

__all__ = ["add_reflection"]

_OLD, _NEW = "grpc.reflection.v1alpha", "grpc.reflection.v1"


def add_reflection(server: grpc.aio.Server, files: Iterable[Any], others: Iterable[FileDescriptorProto] = ()) -> None:
    """Adds reflection of every service in ``files`` (file descriptors), of itself, and of what errors carry.

    ``others`` are files that no descriptor of this process is of, each whole by itself.
    """
    pool = DescriptorPool()  # of our own: another library of this process may define grpc.reflection.v1, too
    known: set[str] = set()
    names = [f"{_NEW}.ServerReflection"]
    for file in (*files, reflection_pb2.DESCRIPTOR):
        _add(pool, file, known)
        names += [service.full_name for service in file.services_by_name.values()]
    for file in (code_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR, status_pb2.DESCRIPTOR):
        _add(pool, file, known)
    pool.Add(_as_v1(reflection_pb2.DESCRIPTOR))
    for other in others:
        pool.Add(other)
        names += [f"{other.package}.{service.name}" for service in other.service]
    servicer = aio.ReflectionServicer(names, pool)
    add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]  # generated without types
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(names[0], {"ServerReflectionInfo": handler}),)
    )


def _add(pool: DescriptorPool, file: Any, known: set[str]) -> None:
    """Adds a file after those it imports."""
    if file.name in known:
        return
    known.add(file.name)
    for dependency in file.dependencies:
        _add(pool, dependency, known)
    pool.AddSerializedFile(file.serialized_pb)


def _as_v1(file: Any) -> FileDescriptorProto:
    """Returns the v1alpha file under the names of v1."""
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    proto.name = proto.name.replace("v1alpha", "v1")
    proto.package = _NEW
    for message in proto.message_type:
        for field in message.field:
            if not field.type_name:  # set to "", it would count as given
                continue
            field.type_name = field.type_name.replace(f".{_OLD}.", f".{_NEW}.")
    for method in proto.service[0].method:
        method.input_type = method.input_type.replace(f".{_OLD}.", f".{_NEW}.")
        method.output_type = method.output_type.replace(f".{_OLD}.", f".{_NEW}.")
    return proto
