"""Names every error the client raises, and reads one from what gRPC reports.

    HoneyguideClientError
    ├── InvalidArgumentError      INVALID_ARGUMENT, OUT_OF_RANGE
    │   └── InputError            a file or value refused before any call
    ├── NotFoundError             NOT_FOUND
    ├── FailedPreconditionError   FAILED_PRECONDITION, ABORTED, ALREADY_EXISTS
    │   ├── ClientStateError      a client that is closed, or used where it was not made; no call was made
    │   ├── ModelChangedError     … with reason MODEL_CHANGED
    │   └── ResumeError           unfinished work that belongs to another input or other options
    ├── UnauthenticatedError      UNAUTHENTICATED
    ├── RoleRequiredError         PERMISSION_DENIED
    ├── OverCapacityError         RESOURCE_EXHAUSTED
    ├── UnavailableError          UNAVAILABLE
    ├── DeadlineError             DEADLINE_EXCEEDED
    ├── CancelledError            CANCELLED
    ├── UnimplementedError        UNIMPLEMENTED
    └── InternalError             INTERNAL, UNKNOWN and every other code

`reason` is the stable word programs may switch on; `remedy` says what to do.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import grpc
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # its wheel has stubs but no py.typed
from grpc_status import rpc_status

from honeyguide.answers import RowFailure
from honeyguide.client.addresses import proxy_of

__all__ = [
    "CancelledError",
    "ClientStateError",
    "DeadlineError",
    "FailedPreconditionError",
    "HoneyguideClientError",
    "InputError",
    "InternalError",
    "InvalidArgumentError",
    "ModelChangedError",
    "NotFoundError",
    "OverCapacityError",
    "ResumeError",
    "RoleRequiredError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "from_row",
    "from_rpc",
]


class HoneyguideClientError(Exception):
    """Root of the tree: every error that the client raises on purpose."""

    reason_by_default: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        field: str = "",
        remedy: str = "",
        retry_after: float | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        """What was given and what is allowed."""
        self.reason = reason or self.reason_by_default
        """Stable UPPER_SNAKE word for programs."""
        self.field = field
        """The request's field at fault; "" when no single one is."""
        self.remedy = remedy
        """What to do; "" when the message says it already."""
        self.retry_after = retry_after
        """Seconds the server asks to wait before the next try; None when it asks for nothing."""
        self.facts = dict(facts or {})
        """What the server says beside, where it applies: request_id, field, value, allowed, existing, sequence."""

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}" if self.remedy else self.message


class InvalidArgumentError(HoneyguideClientError):
    """Request that the server refuses: fields out of their range, too large, or malformed."""

    reason_by_default = "INVALID_FIELD"


class InputError(InvalidArgumentError):
    """File or value that was refused before any call was made."""

    reason_by_default = "INVALID_DATA"


class NotFoundError(HoneyguideClientError):
    """Model, pipeline or item that does not exist; the message names what does."""

    reason_by_default = "NOT_FOUND"


class FailedPreconditionError(HoneyguideClientError):
    """Call that the present state does not allow."""

    reason_by_default = "FAILED_PRECONDITION"


class ClientStateError(FailedPreconditionError):
    """Client that cannot be used here: CLIENT_CLOSED, CLIENT_FORKED, OTHER_EVENT_LOOP or NOT_PICKLABLE."""

    reason_by_default = "CLIENT_CLOSED"


class ModelChangedError(FailedPreconditionError):
    """Version that the caller pinned and that does not serve."""

    reason_by_default = "MODEL_CHANGED"


class ResumeError(FailedPreconditionError):
    """Unfinished work that was begun with another input or other options."""

    reason_by_default = "CANNOT_RESUME"


class OverCapacityError(HoneyguideClientError):
    """More work than the server takes; `retry_after` says when to come back."""

    reason_by_default = "OVER_CAPACITY"


class UnauthenticatedError(HoneyguideClientError):
    """Call without a credential that the server takes."""

    reason_by_default = "UNAUTHENTICATED"


class RoleRequiredError(HoneyguideClientError):
    """Call that its caller may not make; `facts` has the `role` that may."""

    reason_by_default = "ROLE_REQUIRED"


class UnavailableError(HoneyguideClientError):
    """Server that cannot be reached or cannot answer now."""

    reason_by_default = "UNAVAILABLE"


class DeadlineError(HoneyguideClientError):
    """Answer that did not come in time."""

    reason_by_default = "DEADLINE_EXCEEDED"


class CancelledError(HoneyguideClientError):
    """Call that was cancelled."""

    reason_by_default = "CANCELLED"


class UnimplementedError(HoneyguideClientError):
    """Call that this server does not offer."""

    reason_by_default = "UNIMPLEMENTED"


class InternalError(HoneyguideClientError):
    """Fault of the server, or an answer that breaks the protocol."""


@dataclass(frozen=True)
class _Details:
    """Contents of `google.rpc` details."""

    reason: str = ""
    field: str = ""
    remedy: str = ""
    retry_after: float | None = None
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)


def from_rpc(error: grpc.RpcError, target: str) -> HoneyguideClientError:
    """Makes the typed error of what gRPC reports of a call to `target`."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    code, message = error.code(), error.details() or ""
    details = _details(error)
    if not details.reason:  # not from Honeyguide: the channel, a proxy, or gRPC itself speaks
        message, details = _in_words(code, message, target)
    elif not details.remedy:
        details = dataclasses.replace(details, remedy=_REMEDIES.get(details.reason, ""))
    kind = _KINDS_BY_REASON.get(details.reason) or _KINDS.get(code, InternalError)
    return kind(
        message,
        reason=details.reason,
        field=details.field,
        remedy="" if details.remedy in message else details.remedy,
        retry_after=details.retry_after,
        facts=details.facts,
    )


def from_row(failure: RowFailure) -> HoneyguideClientError:
    """Makes the typed error of why one row failed, of the class that a call with its code raises."""
    kind = _KINDS_BY_REASON.get(failure.reason) or _KINDS_BY_NUMBER.get(failure.code, InternalError)
    return kind(failure.message, reason=failure.reason, field=failure.field)


_KINDS_BY_REASON: dict[str, type[HoneyguideClientError]] = {
    "MODEL_CHANGED": ModelChangedError,
    # Over the transport's own limit gRPC says RESOURCE_EXHAUSTED, and no later try helps.
    "TOO_LARGE": InvalidArgumentError,
}
_REMEDIES = {
    "UNAUTHENTICATED": "give a token that is known there and has not expired (`token`, the variable HONEYGUIDE_TOKEN, "
    "--token-file), or a client certificate",
    "ROLE_REQUIRED": "ask who runs the server for a token with that role",
}
"""Of what the server says without one: where a client's credentials come from is the client's to know."""
_KINDS: dict[grpc.StatusCode, type[HoneyguideClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.ABORTED: FailedPreconditionError,
    grpc.StatusCode.ALREADY_EXISTS: FailedPreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverCapacityError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.CANCELLED: CancelledError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: RoleRequiredError,
    grpc.StatusCode.UNIMPLEMENTED: UnimplementedError,
}
_KINDS_BY_NUMBER = {code.value[0]: kind for code, kind in _KINDS.items()}


def _details(error: grpc.Call | grpc.aio.AioRpcError) -> _Details:
    """Reads ErrorInfo, BadRequest, Help and RetryInfo; whatever is absent or unreadable stays empty."""
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # the stub knows the sync call alone; both work
    except ValueError:  # a proxy's details disagree with its status
        status = None
    reason = at_fault = remedy = ""
    retry_after = None
    facts: dict[str, str] = {}
    for detail in status.details if status else ():
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        help_, retry = error_details_pb2.Help(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, facts = info.reason, dict(info.metadata)
            at_fault = at_fault or facts.get("field", "")
            remedy = remedy or facts.get("remedy", "")
        elif detail.Unpack(bad_request) and bad_request.field_violations:
            at_fault = bad_request.field_violations[0].field
        elif detail.Unpack(help_) and help_.links:
            remedy = remedy or help_.links[0].description
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return _Details(reason, at_fault, remedy, retry_after, facts)


def _in_words(code: grpc.StatusCode, message: str, target: str) -> tuple[str, _Details]:
    """Says what gRPC itself reports in words that lead to a remedy."""
    if code is grpc.StatusCode.UNAVAILABLE:
        remedy = "start a server with `honeyguide serve`, or give the address of one that runs"
        if re.search("ssl|tls|certificate", message, re.IGNORECASE):
            remedy = (
                "check that the server speaks TLS, and that `Tls.ca` (--tls-ca) signs its certificate for this name"
            )
        elif re.search("socket closed|connection reset|broken pipe", message, re.IGNORECASE):  # somebody is there
            remedy += "; or it speaks TLS (--tls-ca), or asks for a client certificate (--tls-certificate)"
        through = ""
        if proxy := proxy_of(target):
            through = f" through the proxy {proxy.address} of {proxy.variable}"
            remedy += f"; to go without the proxy, name the server's host in no_proxy, or unset {proxy.variable}"
        return f"cannot reach a server at {target}{through} ({_short(message)})", _Details("UNREACHABLE", remedy=remedy)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{target} did not answer in time", _Details(remedy="allow more with `timeout`, or ask for less")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        return _too_large(message)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        remedy = "check the address, and that server and client have the same version, or ask the server's admin port"
        return f"{target} does not offer this call", _Details(remedy=remedy)
    return message or f"{target} failed without saying why ({code.name})", _Details()


def _too_large(message: str) -> tuple[str, _Details]:
    """Tells an answer that is too large from a request, and names size and limit where gRPC does."""
    sizes = re.search(r"\((\d+) vs\. (\d+)\)", message)
    size, limit = (f" of {int(sizes[1]):,} bytes", f" ({int(sizes[2]):,} bytes)") if sizes else ("", "")
    # Either side says whether it received or sent; without a side the client's own channel speaks, of an answer.
    answer = ("Received" in message) != ("SERVER" in message)
    if answer:
        remedy = "ask for less at once: a smaller k or page_size, fewer users in a batch, no titles or explanations"
        return f"an answer{size} is above the limit of one message{limit}", _Details("TOO_LARGE", remedy=remedy)
    return f"a request{size} is above the limit of one message{limit}", _Details(
        "TOO_LARGE", remedy="send several smaller ones"
    )


def _short(message: str) -> str:
    """Keeps the last clause of gRPC's nested reports: "… : connect: Connection refused (111)" says it all.

    Of a name that does not resolve it keeps all that stands in "… [field:hostname lookup error:…]"; of a handshake the
    clause before the last, which is "OK".
    """
    if "WRONG_VERSION_NUMBER" in message:  # what follows speaks of a certificate, and there was none
        return "it does not speak TLS"
    lookup = re.search(r"\[field:hostname lookup error:(.*)\]", message)
    return (lookup[1] if lookup else message.removesuffix(": OK").rpartition(": ")[2]).strip() or "no reason given"
