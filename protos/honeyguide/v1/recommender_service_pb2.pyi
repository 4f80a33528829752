from honeyguide.v1 import errors_pb2 as _errors_pb2
from honeyguide.v1 import history_pb2 as _history_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_RETRIEVED: _ClassVar[Source]
    SOURCE_POPULAR: _ClassVar[Source]
    SOURCE_CANDIDATE: _ClassVar[Source]
    SOURCE_NEW: _ClassVar[Source]

class UserState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER_STATE_UNSPECIFIED: _ClassVar[UserState]
    USER_STATE_STORED: _ClassVar[UserState]
    USER_STATE_INLINE: _ClassVar[UserState]
    USER_STATE_ANONYMOUS: _ClassVar[UserState]

class DegradedReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEGRADED_REASON_UNSPECIFIED: _ClassVar[DegradedReason]
    DEGRADED_REASON_RANK_FAILED: _ClassVar[DegradedReason]
    DEGRADED_REASON_RULE_FAILED: _ClassVar[DegradedReason]
    DEGRADED_REASON_EXPLAIN_FAILED: _ClassVar[DegradedReason]
    DEGRADED_REASON_HISTORY_TRUNCATED: _ClassVar[DegradedReason]
    DEGRADED_REASON_HISTORY_UNREADABLE: _ClassVar[DegradedReason]
    DEGRADED_REASON_RETRIEVE_FAILED: _ClassVar[DegradedReason]
    DEGRADED_REASON_RETRIEVE_LATE: _ClassVar[DegradedReason]
    DEGRADED_REASON_RETRIEVE_SKIPPED: _ClassVar[DegradedReason]
    DEGRADED_REASON_RANK_LATE: _ClassVar[DegradedReason]
    DEGRADED_REASON_RANK_SKIPPED: _ClassVar[DegradedReason]
SOURCE_UNSPECIFIED: Source
SOURCE_RETRIEVED: Source
SOURCE_POPULAR: Source
SOURCE_CANDIDATE: Source
SOURCE_NEW: Source
USER_STATE_UNSPECIFIED: UserState
USER_STATE_STORED: UserState
USER_STATE_INLINE: UserState
USER_STATE_ANONYMOUS: UserState
DEGRADED_REASON_UNSPECIFIED: DegradedReason
DEGRADED_REASON_RANK_FAILED: DegradedReason
DEGRADED_REASON_RULE_FAILED: DegradedReason
DEGRADED_REASON_EXPLAIN_FAILED: DegradedReason
DEGRADED_REASON_HISTORY_TRUNCATED: DegradedReason
DEGRADED_REASON_HISTORY_UNREADABLE: DegradedReason
DEGRADED_REASON_RETRIEVE_FAILED: DegradedReason
DEGRADED_REASON_RETRIEVE_LATE: DegradedReason
DEGRADED_REASON_RETRIEVE_SKIPPED: DegradedReason
DEGRADED_REASON_RANK_LATE: DegradedReason
DEGRADED_REASON_RANK_SKIPPED: DegradedReason

class Filter(_message.Message):
    __slots__ = ("exclude_item_ids", "allow_item_ids", "any_categories", "ignore_category_case")
    EXCLUDE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    ANY_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    IGNORE_CATEGORY_CASE_FIELD_NUMBER: _ClassVar[int]
    exclude_item_ids: _containers.RepeatedScalarFieldContainer[str]
    allow_item_ids: _containers.RepeatedScalarFieldContainer[str]
    any_categories: _containers.RepeatedScalarFieldContainer[str]
    ignore_category_case: bool
    def __init__(self, exclude_item_ids: _Optional[_Iterable[str]] = ..., allow_item_ids: _Optional[_Iterable[str]] = ..., any_categories: _Optional[_Iterable[str]] = ..., ignore_category_case: _Optional[bool] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "history", "k", "pipeline", "drop_seen", "filter", "request_time_ms", "explain")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    DROP_SEEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: _history_pb2.History
    k: int
    pipeline: str
    drop_seen: bool
    filter: Filter
    request_time_ms: int
    explain: bool
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Union[_history_pb2.History, _Mapping]] = ..., k: _Optional[int] = ..., pipeline: _Optional[str] = ..., drop_seen: _Optional[bool] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., request_time_ms: _Optional[int] = ..., explain: _Optional[bool] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("item_id", "score", "source", "source_model", "title", "because_items")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_MODEL_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_ITEMS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    score: float
    source: Source
    source_model: str
    title: str
    because_items: _containers.RepeatedCompositeFieldContainer[BecauseItem]
    def __init__(self, item_id: _Optional[str] = ..., score: _Optional[float] = ..., source: _Optional[_Union[Source, str]] = ..., source_model: _Optional[str] = ..., title: _Optional[str] = ..., because_items: _Optional[_Iterable[_Union[BecauseItem, _Mapping]]] = ...) -> None: ...

class BecauseItem(_message.Message):
    __slots__ = ("item_id", "title")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("request_id", "items", "shortfall", "unknown_history_items", "models", "degraded", "degraded_reasons", "user_state", "unknown_categories", "arm")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_HISTORY_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_REASONS_FIELD_NUMBER: _ClassVar[int]
    USER_STATE_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    shortfall: int
    unknown_history_items: int
    models: _containers.RepeatedCompositeFieldContainer[_history_pb2.ModelVersion]
    degraded: bool
    degraded_reasons: _containers.RepeatedScalarFieldContainer[DegradedReason]
    user_state: UserState
    unknown_categories: _containers.RepeatedScalarFieldContainer[str]
    arm: str
    def __init__(self, request_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., shortfall: _Optional[int] = ..., unknown_history_items: _Optional[int] = ..., models: _Optional[_Iterable[_Union[_history_pb2.ModelVersion, _Mapping]]] = ..., degraded: _Optional[bool] = ..., degraded_reasons: _Optional[_Iterable[_Union[DegradedReason, str]]] = ..., user_state: _Optional[_Union[UserState, str]] = ..., unknown_categories: _Optional[_Iterable[str]] = ..., arm: _Optional[str] = ...) -> None: ...

class RecommendStreamRequest(_message.Message):
    __slots__ = ("options", "batch")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    options: StreamOptions
    batch: UserBatch
    def __init__(self, options: _Optional[_Union[StreamOptions, _Mapping]] = ..., batch: _Optional[_Union[UserBatch, _Mapping]] = ...) -> None: ...

class StreamOptions(_message.Message):
    __slots__ = ("k", "pipeline", "drop_seen", "filter", "request_time_ms", "required_models", "include_titles")
    K_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    DROP_SEEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_MODELS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TITLES_FIELD_NUMBER: _ClassVar[int]
    k: int
    pipeline: str
    drop_seen: bool
    filter: Filter
    request_time_ms: int
    required_models: _containers.RepeatedCompositeFieldContainer[_history_pb2.ModelVersion]
    include_titles: bool
    def __init__(self, k: _Optional[int] = ..., pipeline: _Optional[str] = ..., drop_seen: _Optional[bool] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., request_time_ms: _Optional[int] = ..., required_models: _Optional[_Iterable[_Union[_history_pb2.ModelVersion, _Mapping]]] = ..., include_titles: _Optional[bool] = ...) -> None: ...

class UserBatch(_message.Message):
    __slots__ = ("sequence", "rows")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    rows: _containers.RepeatedCompositeFieldContainer[UserRow]
    def __init__(self, sequence: _Optional[int] = ..., rows: _Optional[_Iterable[_Union[UserRow, _Mapping]]] = ...) -> None: ...

class UserRow(_message.Message):
    __slots__ = ("user_id", "history")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: _history_pb2.History
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Union[_history_pb2.History, _Mapping]] = ...) -> None: ...

class RecommendStreamResponse(_message.Message):
    __slots__ = ("sequence", "request_id", "models", "rows", "error", "unknown_categories")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    request_id: str
    models: _containers.RepeatedCompositeFieldContainer[_history_pb2.ModelVersion]
    rows: _containers.RepeatedCompositeFieldContainer[ResultRow]
    error: _errors_pb2.RowError
    unknown_categories: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sequence: _Optional[int] = ..., request_id: _Optional[str] = ..., models: _Optional[_Iterable[_Union[_history_pb2.ModelVersion, _Mapping]]] = ..., rows: _Optional[_Iterable[_Union[ResultRow, _Mapping]]] = ..., error: _Optional[_Union[_errors_pb2.RowError, _Mapping]] = ..., unknown_categories: _Optional[_Iterable[str]] = ...) -> None: ...

class ResultRow(_message.Message):
    __slots__ = ("ranked", "error")
    RANKED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ranked: Ranked
    error: _errors_pb2.RowError
    def __init__(self, ranked: _Optional[_Union[Ranked, _Mapping]] = ..., error: _Optional[_Union[_errors_pb2.RowError, _Mapping]] = ...) -> None: ...

class Ranked(_message.Message):
    __slots__ = ("item_ids", "scores", "sources", "titles", "source_model", "user_id", "user_state", "shortfall", "unknown_history_items", "degraded", "degraded_reasons")
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    TITLES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_MODEL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_STATE_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_HISTORY_ITEMS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_REASONS_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    scores: _containers.RepeatedScalarFieldContainer[float]
    sources: _containers.RepeatedScalarFieldContainer[Source]
    titles: _containers.RepeatedScalarFieldContainer[str]
    source_model: str
    user_id: str
    user_state: UserState
    shortfall: int
    unknown_history_items: int
    degraded: bool
    degraded_reasons: _containers.RepeatedScalarFieldContainer[DegradedReason]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ..., scores: _Optional[_Iterable[float]] = ..., sources: _Optional[_Iterable[_Union[Source, str]]] = ..., titles: _Optional[_Iterable[str]] = ..., source_model: _Optional[str] = ..., user_id: _Optional[str] = ..., user_state: _Optional[_Union[UserState, str]] = ..., shortfall: _Optional[int] = ..., unknown_history_items: _Optional[int] = ..., degraded: _Optional[bool] = ..., degraded_reasons: _Optional[_Iterable[_Union[DegradedReason, str]]] = ...) -> None: ...

class RankRequest(_message.Message):
    __slots__ = ("user_id", "history", "item_ids", "pipeline", "request_time_ms")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: _history_pb2.History
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    pipeline: str
    request_time_ms: int
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Union[_history_pb2.History, _Mapping]] = ..., item_ids: _Optional[_Iterable[str]] = ..., pipeline: _Optional[str] = ..., request_time_ms: _Optional[int] = ...) -> None: ...

class RankResponse(_message.Message):
    __slots__ = ("request_id", "items", "unknown_item_ids", "unknown_history_items", "models", "degraded", "degraded_reasons", "user_state", "arm")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_HISTORY_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_REASONS_FIELD_NUMBER: _ClassVar[int]
    USER_STATE_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    unknown_item_ids: _containers.RepeatedScalarFieldContainer[str]
    unknown_history_items: int
    models: _containers.RepeatedCompositeFieldContainer[_history_pb2.ModelVersion]
    degraded: bool
    degraded_reasons: _containers.RepeatedScalarFieldContainer[DegradedReason]
    user_state: UserState
    arm: str
    def __init__(self, request_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., unknown_item_ids: _Optional[_Iterable[str]] = ..., unknown_history_items: _Optional[int] = ..., models: _Optional[_Iterable[_Union[_history_pb2.ModelVersion, _Mapping]]] = ..., degraded: _Optional[bool] = ..., degraded_reasons: _Optional[_Iterable[_Union[DegradedReason, str]]] = ..., user_state: _Optional[_Union[UserState, str]] = ..., arm: _Optional[str] = ...) -> None: ...

class SimilarItemsRequest(_message.Message):
    __slots__ = ("item_id", "k", "pipeline", "filter")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    k: int
    pipeline: str
    filter: Filter
    def __init__(self, item_id: _Optional[str] = ..., k: _Optional[int] = ..., pipeline: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ...) -> None: ...

class SimilarItemsResponse(_message.Message):
    __slots__ = ("request_id", "items", "shortfall", "model", "unknown_categories")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    shortfall: int
    model: _history_pb2.ModelVersion
    unknown_categories: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., shortfall: _Optional[int] = ..., model: _Optional[_Union[_history_pb2.ModelVersion, _Mapping]] = ..., unknown_categories: _Optional[_Iterable[str]] = ...) -> None: ...
