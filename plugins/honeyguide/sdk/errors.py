"""Names every error Honeyguide raises, with its gRPC code and reason.

    HoneyguideError                 INTERNAL             INTERNAL
    ├── InvalidArgument             INVALID_ARGUMENT     INVALID_FIELD
    ├── TooLarge                    INVALID_ARGUMENT     TOO_LARGE
    ├── Malformed                   INVALID_ARGUMENT     MALFORMED
    ├── DataError                   INVALID_ARGUMENT     INVALID_DATA
    ├── ConfigError                 INVALID_ARGUMENT     INVALID_CONFIG
    ├── NotFound                    NOT_FOUND            NOT_FOUND
    │   ├── ModelNotFound           NOT_FOUND            MODEL_NOT_FOUND
    │   ├── PipelineNotFound        NOT_FOUND            PIPELINE_NOT_FOUND
    │   └── ItemNotFound            NOT_FOUND            ITEM_NOT_FOUND
    ├── FailedPrecondition          FAILED_PRECONDITION  FAILED_PRECONDITION
    │   ├── BundleError             FAILED_PRECONDITION  BAD_BUNDLE
    │   │   ├── CorruptBundle       FAILED_PRECONDITION  CORRUPT_BUNDLE
    │   │   ├── ForeignBundle       FAILED_PRECONDITION  FOREIGN_BUNDLE
    │   │   ├── PluginMissing       FAILED_PRECONDITION  PLUGIN_MISSING
    │   │   └── UntrustedBundle     FAILED_PRECONDITION  UNTRUSTED_BUNDLE
    │   ├── ModelChanged            FAILED_PRECONDITION  MODEL_CHANGED
    │   ├── ModelInUse              FAILED_PRECONDITION  MODEL_IN_USE
    │   ├── NoEncoder               FAILED_PRECONDITION  NO_ENCODER
    │   └── NoNeighbours            FAILED_PRECONDITION  NO_NEIGHBOURS
    ├── PluginError                 FAILED_PRECONDITION  PLUGIN_ERROR
    │   └── ConformanceError        FAILED_PRECONDITION  CONFORMANCE_FAILED
    ├── ExportError                 FAILED_PRECONDITION  EXPORT_FAILED
    ├── NotOffered                  UNIMPLEMENTED        NOT_OFFERED
    ├── Unauthenticated             UNAUTHENTICATED      UNAUTHENTICATED
    ├── RoleRequired                PERMISSION_DENIED    ROLE_REQUIRED
    ├── OverCapacity                RESOURCE_EXHAUSTED   OVER_CAPACITY
    │   └── RateExceeded            RESOURCE_EXHAUSTED   RATE_EXCEEDED
    ├── DeadlinePassed              DEADLINE_EXCEEDED    DEADLINE_PASSED
    └── Unavailable                 UNAVAILABLE          UNAVAILABLE
        └── NothingServed           UNAVAILABLE          NOTHING_SERVED

A message says what was given, what is allowed and what to do. It reaches clients: no path, no module name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

from honeyguide.sdk.scrub import printable

__all__ = [
    "BundleError",
    "ConfigError",
    "ConformanceError",
    "CorruptBundle",
    "DataError",
    "DeadlinePassed",
    "ExportError",
    "FailedPrecondition",
    "ForeignBundle",
    "HoneyguideError",
    "InvalidArgument",
    "ItemNotFound",
    "Malformed",
    "ModelChanged",
    "ModelInUse",
    "ModelNotFound",
    "NoEncoder",
    "NoNeighbours",
    "NotFound",
    "NotOffered",
    "NothingServed",
    "OverCapacity",
    "PipelineNotFound",
    "PluginError",
    "PluginMissing",
    "RateExceeded",
    "RoleRequired",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UntrustedBundle",
]


class HoneyguideError(Exception):
    """Root of the tree: every error that Honeyguide raises on purpose."""

    code: ClassVar[str] = "INTERNAL"
    """Name of the gRPC status code."""
    reason: ClassVar[str] = "INTERNAL"
    """Stable UPPER_SNAKE word for programs."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.facts: dict[str, str] = {}
        """What programs may read of it beside the reason, such as "field" or "existing"."""

    def with_facts(self, **facts: str) -> Self:
        """Returns the same error with more facts; this one, which several calls may share, stays as it is."""
        error = type(self).__new__(type(self), *self.args)
        error.__dict__.update(self.__dict__)
        error.facts = self.facts | facts
        return error


class InvalidArgument(HoneyguideError):
    """Field of a request that is out of its range."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_FIELD"

    def __init__(self, field: str, given: object, allowed: str) -> None:
        shown = repr(given)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{field} is {shown}; allowed: {allowed}")
        self.field = field
        self.facts = {"field": field, "value": shown, "allowed": allowed}
        self.others: tuple[InvalidArgument, ...] = ()
        """What else is wrong with the same request."""

    def __str__(self) -> str:
        return "; ".join(each.message for each in (self, *self.others))


class TooLarge(HoneyguideError):
    """Message of more bytes than a server takes; no other try helps."""

    code = "INVALID_ARGUMENT"
    reason = "TOO_LARGE"


class Malformed(HoneyguideError):
    """Bytes that are no message of the rpc they came to; no other try helps."""

    code = "INVALID_ARGUMENT"
    reason = "MALFORMED"


class DataError(HoneyguideError):
    """Input data that cannot be read, with file, row, column and remedy."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_DATA"

    def __init__(
        self, problem: str, *, file: str = "", row: int | None = None, column: str = "", remedy: str = ""
    ) -> None:
        where = ", ".join(
            part
            for part in (file, f"row {row}" if row is not None else "", f"column {column!r}" if column else "")
            if part
        )
        super().__init__((f"{where}: " if where else "") + problem + (f"\n  remedy: {remedy}" if remedy else ""))
        self.problem, self.file, self.row, self.column, self.remedy = problem, file, row, column, remedy


class ConfigError(HoneyguideError):
    """Setting or model option that is out of its range."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_CONFIG"


class NotFound(HoneyguideError):
    """Name that does not exist."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"

    def __init__(self, message: str, field: str, value: object, existing: Iterable[object] = ()) -> None:
        """Takes what to say, what was asked for in which field, and the names that exist where these can be told."""
        super().__init__(message)
        self.facts = {"field": field, "value": str(value)}
        if names := ", ".join(map(str, existing)):
            self.facts["existing"] = names


class ModelNotFound(NotFound):
    """Unknown model or version; the message names those that exist."""

    reason = "MODEL_NOT_FOUND"


class PipelineNotFound(NotFound):
    """Unknown pipeline; the message names those that exist."""

    reason = "PIPELINE_NOT_FOUND"


class ItemNotFound(NotFound):
    """Item that the catalogue lacks."""

    reason = "ITEM_NOT_FOUND"


class FailedPrecondition(HoneyguideError):
    """Request that the present state does not allow."""

    code = "FAILED_PRECONDITION"
    reason = "FAILED_PRECONDITION"


class BundleError(FailedPrecondition):
    """Bundle that cannot be served."""

    reason = "BAD_BUNDLE"

    def __init__(self, message: str) -> None:
        """Takes what to say; anything may lie in a repository, so it is made `printable`."""
        super().__init__(printable(message))


class CorruptBundle(BundleError):
    """Bundle with a missing, added or changed byte."""

    reason = "CORRUPT_BUNDLE"


class ForeignBundle(BundleError):
    """Folder that is no bundle, or one of a format or API that this version does not read."""

    reason = "FOREIGN_BUNDLE"


class PluginMissing(BundleError):
    """Bundle whose model class no installed plugin registers."""

    reason = "PLUGIN_MISSING"


class UntrustedBundle(BundleError):
    """Bundle that no trusted key has signed, or that has another digest than the caller pinned."""

    reason = "UNTRUSTED_BUNDLE"


class ModelChanged(FailedPrecondition):
    """Version that the caller pinned and that does not serve."""

    reason = "MODEL_CHANGED"


class ModelInUse(FailedPrecondition):
    """Model that a pipeline needs and that therefore cannot be unloaded."""

    reason = "MODEL_IN_USE"


class NoEncoder(FailedPrecondition):
    """Text of an item where the text encoder that a model was trained with is not installed."""

    reason = "NO_ENCODER"


class NoNeighbours(FailedPrecondition):
    """Question for similar items to a model with neither item vectors nor neighbours of its own."""

    reason = "NO_NEIGHBOURS"


class PluginError(HoneyguideError):
    """Plugin that breaks the contract."""

    code = "FAILED_PRECONDITION"
    reason = "PLUGIN_ERROR"


class ConformanceError(PluginError):
    """Promise of the plugin contract that a model does not keep."""

    reason = "CONFORMANCE_FAILED"


class ExportError(HoneyguideError):
    """Bundle that failed its own proof and was not written."""

    code = "FAILED_PRECONDITION"
    reason = "EXPORT_FAILED"


class NotOffered(HoneyguideError):
    """Part of a protocol that the server does not offer; no other try helps."""

    code = "UNIMPLEMENTED"
    reason = "NOT_OFFERED"


class Unauthenticated(HoneyguideError):
    """Call without a credential, or with one that is wrong or expired; which of these is not told."""

    code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class RoleRequired(HoneyguideError):
    """Call of somebody who is known and may not make it; the message names the role that may."""

    code = "PERMISSION_DENIED"
    reason = "ROLE_REQUIRED"

    def __init__(self, method: str, caller: str, roles: Sequence[str]) -> None:
        """Takes the rpc, who called it, and the roles any of which would do."""
        needed = " or ".join(roles)
        rpc = method.rpartition("/")[2]  # the whole would be taken for a path, which no message shows
        super().__init__(f"{rpc} needs the role {needed}, which {caller} does not have; ask the operator for it")
        self.facts = {"role": needed}
        self.caller = caller
        """Who called; for the server's own records."""


class OverCapacity(HoneyguideError):
    """More work than the server takes; try again later."""

    code = "RESOURCE_EXHAUSTED"
    reason = "OVER_CAPACITY"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds to wait before the next try."""


class RateExceeded(OverCapacity):
    """More than one caller may ask for; the server has room for others."""

    reason = "RATE_EXCEEDED"


class DeadlinePassed(HoneyguideError):
    """Request that waited until its deadline; it was dropped before it was computed."""

    code = "DEADLINE_EXCEEDED"
    reason = "DEADLINE_PASSED"


class Unavailable(HoneyguideError):
    """Server that cannot answer now."""

    code = "UNAVAILABLE"
    reason = "UNAVAILABLE"


class NothingServed(Unavailable):
    """Server without a loaded model."""

    reason = "NOTHING_SERVED"
