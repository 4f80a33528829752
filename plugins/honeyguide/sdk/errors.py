"""Names every error Honeyguide raises, with its gRPC code and reason.

    HoneyguideError                 INTERNAL             INTERNAL
    ├── InvalidArgument             INVALID_ARGUMENT     INVALID_FIELD
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
    │   │   └── PluginMissing       FAILED_PRECONDITION  PLUGIN_MISSING
    │   ├── ModelChanged            FAILED_PRECONDITION  MODEL_CHANGED
    │   └── ModelInUse              FAILED_PRECONDITION  MODEL_IN_USE
    ├── PluginError                 FAILED_PRECONDITION  PLUGIN_ERROR
    │   └── ConformanceError        FAILED_PRECONDITION  CONFORMANCE_FAILED
    ├── ExportError                 FAILED_PRECONDITION  EXPORT_FAILED
    ├── OverCapacity                RESOURCE_EXHAUSTED   OVER_CAPACITY
    ├── DeadlinePassed              DEADLINE_EXCEEDED    DEADLINE_PASSED
    └── Unavailable                 UNAVAILABLE          UNAVAILABLE
        └── NothingServed           UNAVAILABLE          NOTHING_SERVED

A message says what was given, what is allowed and what to do. It reaches clients: no path, no module name.
"""

from __future__ import annotations

from typing import ClassVar

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
    "ModelChanged",
    "ModelInUse",
    "ModelNotFound",
    "NotFound",
    "NothingServed",
    "OverCapacity",
    "PipelineNotFound",
    "PluginError",
    "PluginMissing",
    "Unavailable",
]


class HoneyguideError(Exception):
    """Is the root of the tree; catches every error Honeyguide raises on purpose."""

    code: ClassVar[str] = "INTERNAL"
    """Name of the gRPC status code."""
    reason: ClassVar[str] = "INTERNAL"
    """Stable UPPER_SNAKE word for programs."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgument(HoneyguideError):
    """Reports a field of a request that is out of its range."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_FIELD"

    def __init__(self, field: str, given: object, allowed: str) -> None:
        shown = repr(given)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{field} is {shown}; allowed: {allowed}")
        self.field = field


class DataError(HoneyguideError):
    """Reports input data that cannot be read, with file, row, column and remedy."""

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
    """Reports a setting or a model option that is out of its range."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_CONFIG"


class NotFound(HoneyguideError):
    """Reports a name that does not exist."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"


class ModelNotFound(NotFound):
    """Reports an unknown model or version; the message names those that exist."""

    reason = "MODEL_NOT_FOUND"


class PipelineNotFound(NotFound):
    """Reports an unknown pipeline; the message names those that exist."""

    reason = "PIPELINE_NOT_FOUND"


class ItemNotFound(NotFound):
    """Reports an item that the catalogue lacks."""

    reason = "ITEM_NOT_FOUND"


class FailedPrecondition(HoneyguideError):
    """Reports a request that the present state does not allow."""

    code = "FAILED_PRECONDITION"
    reason = "FAILED_PRECONDITION"


class BundleError(FailedPrecondition):
    """Reports a bundle that cannot be served."""

    reason = "BAD_BUNDLE"


class CorruptBundle(BundleError):
    """Reports a bundle with a missing, added or changed byte."""

    reason = "CORRUPT_BUNDLE"


class ForeignBundle(BundleError):
    """Reports a folder that is no bundle, or one of a format or API this version does not read."""

    reason = "FOREIGN_BUNDLE"


class PluginMissing(BundleError):
    """Reports a bundle whose model class no installed plugin registers."""

    reason = "PLUGIN_MISSING"


class ModelChanged(FailedPrecondition):
    """Reports that another version serves than the one the caller pinned."""

    reason = "MODEL_CHANGED"


class ModelInUse(FailedPrecondition):
    """Reports a model that a pipeline needs and that therefore cannot be unloaded."""

    reason = "MODEL_IN_USE"


class PluginError(HoneyguideError):
    """Reports a plugin that breaks the contract."""

    code = "FAILED_PRECONDITION"
    reason = "PLUGIN_ERROR"


class ConformanceError(PluginError):
    """Reports a promise of the plugin contract that a model does not keep."""

    reason = "CONFORMANCE_FAILED"


class ExportError(HoneyguideError):
    """Reports a bundle that failed its own proof and was not written."""

    code = "FAILED_PRECONDITION"
    reason = "EXPORT_FAILED"


class OverCapacity(HoneyguideError):
    """Reports that the server has as much work as it takes; try again later."""

    code = "RESOURCE_EXHAUSTED"
    reason = "OVER_CAPACITY"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds to wait before the next try."""


class DeadlinePassed(HoneyguideError):
    """Reports a request that waited until its deadline; it was dropped before it was computed."""

    code = "DEADLINE_EXCEEDED"
    reason = "DEADLINE_PASSED"


class Unavailable(HoneyguideError):
    """Reports that the server cannot answer now."""

    code = "UNAVAILABLE"
    reason = "UNAVAILABLE"


class NothingServed(Unavailable):
    """Reports that no model is loaded."""

    reason = "NOTHING_SERVED"
