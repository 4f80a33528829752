"""Asks a Honeyguide server for recommendations by reflection alone: no stubs, no .proto file, no honeyguide package.

    pip install grpcio grpcio-reflection
    python recommend.py 127.0.0.1:50051 17850 5
    python recommend.py 127.0.0.1:50051 17850 5 85123A 71053      # as if the user had just met these items, too

It prints rank, item id, title and score, separated by tabs. What it does is what any generic gRPC tool does: it asks
the server for its services and message types, builds the messages, and calls.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "RecommenderService"
METHOD = "Recommend"


def discover(channel: grpc.Channel) -> tuple[type[Any], Callable[..., Any]]:
    """Finds the request's message class and the call, from what the server says of itself."""
    database = ProtoReflectionDescriptorDatabase(channel)
    services = list(database.get_services())
    names = [name for name in services if name.endswith(f".{SERVICE}")]
    if not names:
        sys.exit(f"the server has no {SERVICE}; it has {', '.join(services)}")
    method = DescriptorPool(database).FindServiceByName(names[0]).FindMethodByName(METHOD)
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    call = channel.unary_unary(
        f"/{names[0]}/{METHOD}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return request, call


def recommend(target: str, user: str, k: int, history: Iterable[str]) -> Iterable[str]:
    """Gives the lines to print."""
    with grpc.insecure_channel(target) as channel:
        request, call = discover(channel)
        answer = call(request(user_id=user, k=k, history={"item_ids": history}), timeout=5)
    return [f"{rank}\t{item.item_id}\t{item.title}\t{item.score:.4f}" for rank, item in enumerate(answer.items, 1)]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: recommend.py HOST:PORT USER [K [ITEM …]]")
    try:
        print(
            *recommend(sys.argv[1], sys.argv[2], int(sys.argv[3] if len(sys.argv) > 3 else 10), sys.argv[4:]), sep="\n"
        )
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
