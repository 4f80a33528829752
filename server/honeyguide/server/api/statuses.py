"""Turns every error into a rich gRPC status."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details  # type: ignore[import-untyped]  # Google ships no stubs
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]  # as above
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above

from honeyguide.sdk.errors import HoneyguideError, InvalidArgument, NotFound, OverCapacity, Unauthenticated
from honeyguide.sdk.scrub import without_paths
from honeyguide.server.serving.calls import Failure
from honeyguide.v1.errors_pb2 import ErrorReason, RowError

__all__ = [
    "DOMAIN",
    "GrpcStatus",
    "reason_of",
    "to_failures",
    "to_grpc_status",
    "to_row_error",
    "to_status",
]

DOMAIN = "honeyguide"
"""Domain of every ErrorInfo."""

_MESSAGE_BYTES = 1000
"""Bytes of a message at most. It travels in the trailers up to three times, once with every byte of other scripts as
three; above 8 kB of trailers gRPC's clients show an error of their own instead."""
_VIOLATION_BYTES = 2000
"""Bytes of the descriptions of all fields at fault; they travel in the same trailers."""
_FACT_BYTES = 300
_MARGIN_MS = 20
"""Added to what gRPC's own retries wait: gRPC's core counts from a moment that may be milliseconds ago, and who comes
that much too early, and is then told one millisecond, spends all tries at once."""
_NO_ID = "0" * 32
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def to_row_error(error: Exception, request_id: str = "") -> RowError:
    """Describes an error to the client, for a row or a batch; of an unknown one, only where the log has it."""
    if not isinstance(error, HoneyguideError):
        where = f" under request {request_id}" if request_id else ""
        return RowError(
            code=Code.INTERNAL,
            reason=ErrorReason.ERROR_REASON_INTERNAL,
            message=f"internal error; the server's log has more{where}",
        )
    return RowError(
        code=Code.Value(error.code),
        reason=f"ERROR_REASON_{error.reason}",
        field=error.field if isinstance(error, InvalidArgument) else "",
        message=_message(error),
    )


def reason_of(row: RowError) -> str:
    """Returns the reason as ErrorInfo carries it, without the enum's prefix."""
    return ErrorReason.Name(row.reason).removeprefix("ERROR_REASON_")


def to_status(error: Exception, request_id: str) -> Status:
    """Describes an error to the client, for a whole call, as a google.rpc.Status with details."""
    row = to_row_error(error, request_id)
    facts = {"request_id": request_id}
    if isinstance(error, HoneyguideError):
        facts |= {name: _cut(fact, _FACT_BYTES) for name, fact in error.facts.items()}
    parts: list[Message] = [details.ErrorInfo(reason=reason_of(row), domain=DOMAIN, metadata=facts)]
    if isinstance(error, InvalidArgument):
        parts.append(_bad_request(error))
    if isinstance(error, OverCapacity):
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        parts.append(details.RetryInfo(retry_delay=delay))
    status = Status(code=row.code, message=row.message)
    for part in parts:
        packed = AnyMessage()
        packed.Pack(part)
        status.details.append(packed)
    return status


def to_failures(error: Exception, request_ids: Sequence[str]) -> list[Failure]:
    """Describes an error to the clients of some calls; see `to_status`."""
    brief = error if isinstance(error, OverCapacity | Unauthenticated) and not error.facts else None
    if brief is not None and {len(each) for each in request_ids} == {len(_NO_ID)}:
        # Under overload, or an attack, these are most of what is written: they differ in their ids alone.
        kind: Any = type(brief)
        after = round(brief.retry_after, 2) if isinstance(brief, OverCapacity) else 0.0
        code, message, written, pushback = _refusal(kind, brief.message, after)
        before, _, behind = written.rpartition(_NO_ID.encode())
        return [Failure(code, message, before + each.encode() + behind, pushback) for each in request_ids]
    statuses = [to_status(error, request_id) for request_id in request_ids]
    pushback = _pushback_ms(error)
    return [Failure(status.code, status.message, status.SerializeToString(), pushback) for status in statuses]


@lru_cache(maxsize=1024)
def _refusal(kind: Any, message: str, retry_after: float) -> Failure:
    error = kind(message, retry_after) if issubclass(kind, OverCapacity) else kind(message)
    status = to_status(error, _NO_ID)
    return Failure(status.code, status.message, status.SerializeToString(), _pushback_ms(error))


def _pushback_ms(error: Exception) -> int:
    """Returns the delay of `RetryInfo` for the clients whose retries gRPC does, which read no details; -1: none."""
    if not isinstance(error, OverCapacity):
        return -1
    return min(math.ceil(error.retry_after * 1000) + _MARGIN_MS, 2**31 - 1)  # gRPC takes an int32


@dataclass(frozen=True, slots=True)
class GrpcStatus(grpc.Status):
    """`grpc.Status` of a failure."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def to_grpc_status(failure: Failure, returned: tuple[tuple[str, str], ...] = ()) -> GrpcStatus:
    """Returns a failure as grpcio's contexts take it; ``returned`` are the ids that the client gave its call."""
    trailers: tuple[tuple[str, str | bytes], ...] = (("grpc-status-details-bin", failure.details), *returned)
    if failure.pushback_ms >= 0:
        trailers = (*trailers, ("grpc-retry-pushback-ms", str(failure.pushback_ms)))
    return GrpcStatus(_CODES[failure.code], failure.message, trailers)


def _bad_request(error: InvalidArgument) -> details.BadRequest:
    """Lists every field at fault; the more there are, the shorter each is told."""
    violations = (error, *error.others)
    share = max(_VIOLATION_BYTES // len(violations), 80)
    return details.BadRequest(
        field_violations=[
            details.BadRequest.FieldViolation(field=v.field, description=_cut(v.message, share)) for v in violations
        ]
    )


def _message(error: HoneyguideError) -> str:
    # What the client sent comes back as it was; everything else may quote the file system.
    if isinstance(error, InvalidArgument):
        return _cut(str(error), _MESSAGE_BYTES)
    return _cut(error.message if isinstance(error, NotFound) else without_paths(error.message), _MESSAGE_BYTES)


def _cut(text: str, most: int) -> str:
    """Returns at most so many bytes of a text."""
    whole = text.encode()
    return text if len(whole) <= most else whole[:most].decode(errors="ignore") + "…"
