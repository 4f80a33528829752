"""Words errors as Connect and gRPC-Web carry them: the same code, message and details as on the gRPC port."""

from __future__ import annotations

import math
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details  # type: ignore[import-untyped]  # Google ships no stubs
from google.rpc.code_pb2 import Code as GoogleCode  # type: ignore[import-untyped]  # as above
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above
from protobuf.wkt import Any as ConnectAny
from protobuf.wkt import Struct

from honeyguide.server.serving.calls import Failure

__all__ = ["retry_after", "to_connect_error"]


class _Detail(ErrorDetail):
    """Detail of an error, which JSON also shows in words ("debug"), so that a page needs no protobuf to read it."""

    def __init__(self, packed: AnyMessage) -> None:
        super().__init__(ConnectAny(type_url=packed.type_url, value=packed.value))
        self._packed = packed

    def value(self, *_: Any) -> Any:
        """Returns the message as what JSON can be made of; None: of a kind that this server does not send."""
        message = _read(self._packed)
        return None if message is None else Struct.from_json(MessageToJson(message))


def to_connect_error(failure: Failure) -> ConnectError:
    """Returns a failure as the library carries it."""
    parts = Status.FromString(failure.details).details
    name = "canceled" if failure.code == GoogleCode.CANCELLED else GoogleCode.Name(failure.code).lower()
    return ConnectError(Code(name), failure.message, [_Detail(part) for part in parts])


def retry_after(failure: Failure) -> str:
    """Returns the seconds of a failure's RetryInfo as HTTP's header Retry-After has them; "": it has none."""
    for part in Status.FromString(failure.details).details:
        if isinstance(message := _read(part), details.RetryInfo):
            delay = message.retry_delay
            return str(max(1, math.ceil(delay.seconds + delay.nanos / 1e9)))
    return ""


def _read(packed: AnyMessage) -> Message | None:
    kind = getattr(details, packed.type_url.rpartition(".")[2], None)
    if kind is None:
        return None
    message: Message = kind()
    return message if packed.Unpack(message) else None
