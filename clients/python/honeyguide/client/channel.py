"""What both clients share: address, channel options, rpcs by name, dressed methods, deadlines."""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import grpc

from honeyguide.answers.arguments import ArgumentError, as_real, as_text, shown
from honeyguide.client.addresses import check_address, is_local
from honeyguide.client.credentials import check_credentials
from honeyguide.client.errors import InputError
from honeyguide.client.retry import RetryPolicy
from honeyguide.v1 import event_service_pb2_grpc, model_service_pb2_grpc, recommender_service_pb2_grpc

__all__ = [
    "DEFAULT_TARGET",
    "MAX_RECEIVED_BYTES",
    "Connection",
    "Deadline",
    "channel_options",
    "check_client",
    "check_seconds",
    "described",
    "dressed",
    "open_channel",
    "rpcs",
]

M = TypeVar("M", bound=Callable[..., object])
P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_TARGET = "127.0.0.1:50051"
"""Where `honeyguide serve` listens unless told otherwise."""

DEFAULT_SECONDS = 5.0
"""For a whole call, unless client or call say otherwise."""
MAX_RECEIVED_BYTES = 64 << 20
"""Bytes of one answer. gRPC's default of 4 MiB is below what a server may send: lists of models with many metrics,
batches of long ids or with titles; this version's servers send up to 16 MiB."""
_LONGEST = 1e9
"""Seconds, some 30 years; gRPC and timers overflow a little further up."""
_OPTIONS = (
    # gRPC waits 1 s before it dials again, and every try until then fails at once: our backoff would try in vain.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
)


class Connection(NamedTuple):
    """What a client is made of, checked; it never shows the token."""

    target: str
    timeout: float
    retry: RetryPolicy
    credentials: grpc.ChannelCredentials | None
    metadata: tuple[tuple[str, str], ...] | None
    """Goes with every call."""


def check_client(
    target: object,
    timeout: object,
    retry: object,
    *,
    token: object = None,
    tls: object = None,
    credentials: object = None,
    insecure: bool = False,
) -> Connection:
    """Takes what a client is made of; raises InputError with field and remedy."""
    address = described(as_text, "target", target)
    if remedy := check_address(address, secure=credentials is not None or tls is not None):
        raise InputError(f"target is {shown(target)}; allowed: the address of a server", field="target", remedy=remedy)
    if not isinstance(retry, RetryPolicy | None):
        raise InputError(f"retry is {shown(retry)}; allowed: a RetryPolicy, or None", field="retry")
    seconds = check_seconds(timeout, DEFAULT_SECONDS)
    word, channel_credentials = check_credentials(address, token, tls, credentials, insecure=insecure)
    metadata = (("authorization", f"Bearer {word}"),) if word else None
    return Connection(address, seconds, retry or RetryPolicy(), channel_credentials, metadata)


def channel_options(target: str) -> list[tuple[str, int]]:
    """Gives a channel's options; an address of this machine is never asked for through a proxy."""
    return [*_OPTIONS, *([("grpc.enable_http_proxy", 0)] if is_local(target) else [])]


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Opens a synchronous channel; without credentials in plain text. It connects when it is first used."""
    options = channel_options(target)
    return grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)


def rpcs(channel: Any, metadata: tuple[tuple[str, str], ...] | None) -> dict[str, Any]:
    """Gives every rpc of the three services by its name; the channel is a sync or an asyncio one.

    ``metadata`` goes with every call.
    """
    stubs = (
        recommender_service_pb2_grpc.RecommenderServiceStub(channel),
        event_service_pb2_grpc.EventServiceStub(channel),
        model_service_pb2_grpc.ModelServiceStub(channel),
    )
    found = {name: rpc for stub in stubs for name, rpc in vars(stub).items()}
    if metadata is None:
        return found
    return {name: _with(metadata, rpc) for name, rpc in found.items()}


def _with(metadata: tuple[tuple[str, str], ...], rpc: Callable[..., Any]) -> Callable[..., Any]:
    """Makes an rpc that metadata goes with; unlike `functools.partial` it does not show them."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return rpc(*args, metadata=metadata, **kwargs)

    return call


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
    """Describes a call; raises InputError, with field and remedy, for a value that has no plain meaning."""
    try:
        return describe(*args, **kwargs)
    except ArgumentError as error:
        raise InputError(str(error), field=error.field, remedy=error.remedy) from error
    except (ValueError, OverflowError) as error:
        raise InputError(f"{describe.__name__}: {error}") from error


def check_seconds(timeout: object, default: float) -> float:
    """Takes a timeout: None is the default, infinity no limit; raises InputError."""
    if timeout is None:
        return default
    seconds = as_real(timeout)
    if seconds is not None and seconds > 0:
        return math.inf if seconds > _LONGEST else float(seconds)
    raise InputError(
        f"timeout is {shown(timeout)}; allowed: seconds above 0",
        field="timeout",
        remedy="for no limit give float('inf'), for the default None",
    )


class Deadline:
    """Countdown from `seconds`, which tries and the waits between them share."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, 0 or more; infinity where there is no limit."""
        return max(self._end - time.monotonic(), 0.0)

    @property
    def timeout(self) -> float | None:
        """The same for gRPC, to which None is no limit."""
        return None if self._end == math.inf else self.remaining
