"""Asks a Honeyguide server for recommendations by reflection alone: no stubs, no .proto file, no honeyguide package.

    pip install grpcio grpcio-reflection
    python recommend.py 127.0.0.1:50051 17850 5
    python recommend.py 127.0.0.1:50051 17850 5 85123A 71053      # as if the user had just met these items, too
    python recommend.py --ca certificate.pem --token-file shop.token localhost:50051 17850      # a closed server

It prints rank, item id, title and score, separated by tabs. What it does is what any generic gRPC tool does: it asks
the server for its services and message types, builds the messages, and calls.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "RecommenderService"
METHOD = "Recommend"


class CallDetails(NamedTuple):
    """What gRPC asks of a call that an interceptor hands on."""

    method: str
    timeout: float | None
    metadata: list[tuple[str, str | bytes]]
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class Bearer(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Sends a token with every call, those of reflection among them."""

    def __init__(self, token: str) -> None:
        """Takes the token."""
        self._header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation: Callable[..., Any], call: Any, request: Any) -> Any:
        """Hands the call on with the token."""
        metadata = [*(call.metadata or ()), self._header]
        more = (call.credentials, call.wait_for_ready, call.compression)
        return continuation(CallDetails(call.method, call.timeout, metadata, *more), request)

    intercept_stream_stream = intercept_unary_unary  # type: ignore[assignment]


def connect(target: str, ca: Path | None, token_file: Path | None) -> grpc.Channel:
    """Opens a channel: with TLS where authorities are given, with a token where there is one."""
    if ca:
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(ca.read_bytes()))
    else:
        channel = grpc.insecure_channel(target)
    return grpc.intercept_channel(channel, Bearer(token_file.read_text().strip())) if token_file else channel


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


def recommend(channel: grpc.Channel, user: str, k: int, history: Iterable[str]) -> Iterable[str]:
    """Gives the lines to print."""
    request, call = discover(channel)
    answer = call(request(user_id=user, k=k, history={"item_ids": history}), timeout=5)
    return [f"{rank}\t{item.item_id}\t{item.title}\t{item.score:.4f}" for rank, item in enumerate(answer.items, 1)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Asks for recommendations by reflection alone.")
    parser.add_argument("target", metavar="HOST:PORT")
    parser.add_argument("user", metavar="USER")
    parser.add_argument("k", metavar="K", type=int, nargs="?", default=10)
    parser.add_argument("history", metavar="ITEM", nargs="*", help="as if the user had just met it")
    parser.add_argument("--ca", type=Path, help="PEM file of the authorities to trust; speaks TLS")
    parser.add_argument("--token-file", type=Path, help="file with the token of the caller, and nothing else")
    given = parser.parse_args()
    try:
        with connect(given.target, given.ca, given.token_file) as channel:
            print(*recommend(channel, given.user, given.k, given.history), sep="\n")
    except (grpc.RpcError, OSError) as error:
        sys.exit(f"{error.code().name}: {error.details()}" if isinstance(error, grpc.RpcError) else str(error))
