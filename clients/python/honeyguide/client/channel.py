"""What both clients share: address, channel options, rpcs by name, dressed methods, deadlines."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import grpc

from honeyguide.client.errors import InputError
from honeyguide.v1 import event_service_pb2_grpc, model_service_pb2_grpc, recommender_service_pb2_grpc

__all__ = ["DEFAULT_TARGET", "OPTIONS", "Deadline", "described", "dressed", "open_channel", "rpcs"]

M = TypeVar("M", bound=Callable[..., object])
P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_TARGET = "127.0.0.1:50051"
"""Where `honeyguide serve` listens unless told otherwise."""

OPTIONS = (
    # gRPC waits 1 s before it dials again, and every try until then fails at once: our backoff would try in vain.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
    # gRPC's default of 4 MiB is below what a server may send: lists of models with many metrics, pages of long events.
    ("grpc.max_receive_message_length", 64 << 20),
)


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Opens a synchronous channel; without credentials in plain text. It connects when it is first used."""
    return grpc.secure_channel(target, credentials, OPTIONS) if credentials else grpc.insecure_channel(target, OPTIONS)


def rpcs(channel: Any) -> dict[str, Any]:
    """Gives every rpc of the three services by its name; the channel is a sync or an asyncio one."""
    stubs = (
        recommender_service_pb2_grpc.RecommenderServiceStub(channel),
        event_service_pb2_grpc.EventServiceStub(channel),
        model_service_pb2_grpc.ModelServiceStub(channel),
    )
    return {name: rpc for stub in stubs for name, rpc in vars(stub).items()}


def dressed(method: M, describe: Callable[..., object]) -> M:
    """Gives a method the name, text and parameters of the call it carries out, so that `help` shows them."""
    functools.update_wrapper(method, describe)
    signature = inspect.signature(describe)
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]  # functions take attributes
        parameters=[self, *signature.parameters.values()], return_annotation=inspect.Signature.empty
    )
    return method


def described(describe: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Describes a call; raises InputError for a value that no message can hold, such as a k beyond 32 bits."""
    try:
        return describe(*args, **kwargs)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{describe.__name__}: {error}") from error


class Deadline:
    """Countdown from `seconds`, which tries and the waits between them share."""

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise InputError(f"timeout is {seconds!r}; allowed: seconds above 0", field="timeout")
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, 0 or more."""
        return max(self._end - time.monotonic(), 0.0)
