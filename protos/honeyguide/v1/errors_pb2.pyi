from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_FIELD: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_MALFORMED: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_DATA: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_CONFIG: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_MODEL_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_PIPELINE_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_ITEM_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_FAILED_PRECONDITION: _ClassVar[ErrorReason]
    ERROR_REASON_BAD_BUNDLE: _ClassVar[ErrorReason]
    ERROR_REASON_CORRUPT_BUNDLE: _ClassVar[ErrorReason]
    ERROR_REASON_FOREIGN_BUNDLE: _ClassVar[ErrorReason]
    ERROR_REASON_PLUGIN_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_MODEL_CHANGED: _ClassVar[ErrorReason]
    ERROR_REASON_MODEL_IN_USE: _ClassVar[ErrorReason]
    ERROR_REASON_PLUGIN_ERROR: _ClassVar[ErrorReason]
    ERROR_REASON_CONFORMANCE_FAILED: _ClassVar[ErrorReason]
    ERROR_REASON_EXPORT_FAILED: _ClassVar[ErrorReason]
    ERROR_REASON_OVER_CAPACITY: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE_PASSED: _ClassVar[ErrorReason]
    ERROR_REASON_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_NOTHING_SERVED: _ClassVar[ErrorReason]
    ERROR_REASON_UNAUTHENTICATED: _ClassVar[ErrorReason]
    ERROR_REASON_ROLE_REQUIRED: _ClassVar[ErrorReason]
    ERROR_REASON_RATE_EXCEEDED: _ClassVar[ErrorReason]
    ERROR_REASON_UNTRUSTED_BUNDLE: _ClassVar[ErrorReason]
    ERROR_REASON_NO_ENCODER: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_OFFERED: _ClassVar[ErrorReason]
    ERROR_REASON_NO_NEIGHBOURS: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
ERROR_REASON_INVALID_FIELD: ErrorReason
ERROR_REASON_TOO_LARGE: ErrorReason
ERROR_REASON_MALFORMED: ErrorReason
ERROR_REASON_INVALID_DATA: ErrorReason
ERROR_REASON_INVALID_CONFIG: ErrorReason
ERROR_REASON_NOT_FOUND: ErrorReason
ERROR_REASON_MODEL_NOT_FOUND: ErrorReason
ERROR_REASON_PIPELINE_NOT_FOUND: ErrorReason
ERROR_REASON_ITEM_NOT_FOUND: ErrorReason
ERROR_REASON_FAILED_PRECONDITION: ErrorReason
ERROR_REASON_BAD_BUNDLE: ErrorReason
ERROR_REASON_CORRUPT_BUNDLE: ErrorReason
ERROR_REASON_FOREIGN_BUNDLE: ErrorReason
ERROR_REASON_PLUGIN_MISSING: ErrorReason
ERROR_REASON_MODEL_CHANGED: ErrorReason
ERROR_REASON_MODEL_IN_USE: ErrorReason
ERROR_REASON_PLUGIN_ERROR: ErrorReason
ERROR_REASON_CONFORMANCE_FAILED: ErrorReason
ERROR_REASON_EXPORT_FAILED: ErrorReason
ERROR_REASON_OVER_CAPACITY: ErrorReason
ERROR_REASON_DEADLINE_PASSED: ErrorReason
ERROR_REASON_UNAVAILABLE: ErrorReason
ERROR_REASON_NOTHING_SERVED: ErrorReason
ERROR_REASON_UNAUTHENTICATED: ErrorReason
ERROR_REASON_ROLE_REQUIRED: ErrorReason
ERROR_REASON_RATE_EXCEEDED: ErrorReason
ERROR_REASON_UNTRUSTED_BUNDLE: ErrorReason
ERROR_REASON_NO_ENCODER: ErrorReason
ERROR_REASON_NOT_OFFERED: ErrorReason
ERROR_REASON_NO_NEIGHBOURS: ErrorReason

class RowError(_message.Message):
    __slots__ = ("code", "reason", "field", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: ErrorReason
    field: str
    message: str
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[_Union[ErrorReason, str]] = ..., field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
