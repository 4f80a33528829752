import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
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
SOURCE_UNSPECIFIED: Source
SOURCE_RETRIEVED: Source
SOURCE_POPULAR: Source
SOURCE_CANDIDATE: Source

class Filter(_message.Message):
    __slots__ = ("exclude_item_ids", "allow_item_ids", "any_category")
    EXCLUDE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    ANY_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    exclude_item_ids: _containers.RepeatedScalarFieldContainer[str]
    allow_item_ids: _containers.RepeatedScalarFieldContainer[str]
    any_category: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, exclude_item_ids: _Optional[_Iterable[str]] = ..., allow_item_ids: _Optional[_Iterable[str]] = ..., any_category: _Optional[_Iterable[str]] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "history", "k", "pipeline", "drop_seen", "filter", "now", "explain")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    DROP_SEEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: _history_pb2.History
    k: int
    pipeline: str
    drop_seen: bool
    filter: Filter
    now: _timestamp_pb2.Timestamp
    explain: bool
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Union[_history_pb2.History, _Mapping]] = ..., k: _Optional[int] = ..., pipeline: _Optional[str] = ..., drop_seen: _Optional[bool] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., now: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., explain: _Optional[bool] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("item_id", "score", "source", "source_model", "title", "because")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_MODEL_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    score: float
    source: Source
    source_model: str
    title: str
    because: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_id: _Optional[str] = ..., score: _Optional[float] = ..., source: _Optional[_Union[Source, str]] = ..., source_model: _Optional[str] = ..., title: _Optional[str] = ..., because: _Optional[_Iterable[str]] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("request_id", "items", "shortfall", "unknown_history_items", "models", "degraded", "reasons")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_HISTORY_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    shortfall: int
    unknown_history_items: int
    models: _containers.RepeatedCompositeFieldContainer[_history_pb2.ModelVersion]
    degraded: bool
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., shortfall: _Optional[int] = ..., unknown_history_items: _Optional[int] = ..., models: _Optional[_Iterable[_Union[_history_pb2.ModelVersion, _Mapping]]] = ..., degraded: _Optional[bool] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class RecommendStreamRequest(_message.Message):
    __slots__ = ("options", "batch")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    options: StreamOptions
    batch: UserBatch
    def __init__(self, options: _Optional[_Union[StreamOptions, _Mapping]] = ..., batch: _Optional[_Union[UserBatch, _Mapping]] = ...) -> None: ...

class StreamOptions(_message.Message):
    __slots__ = ("k", "pipeline", "drop_seen", "filter", "now", "require_models")
    K_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    DROP_SEEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_MODELS_FIELD_NUMBER: _ClassVar[int]
    k: int
    pipeline: str
    drop_seen: bool
    filter: Filter
    now: _timestamp_pb2.Timestamp
    require_models: _containers.RepeatedCompositeFieldContainer[_history_pb2.ModelVersion]
    def __init__(self, k: _Optional[int] = ..., pipeline: _Optional[str] = ..., drop_seen: _Optional[bool] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., now: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., require_models: _Optional[_Iterable[_Union[_history_pb2.ModelVersion, _Mapping]]] = ...) -> None: ...

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
    __slots__ = ("sequence", "models", "rows")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    models: _containers.RepeatedCompositeFieldContainer[_history_pb2.ModelVersion]
    rows: _containers.RepeatedCompositeFieldContainer[ResultRow]
    def __init__(self, sequence: _Optional[int] = ..., models: _Optional[_Iterable[_Union[_history_pb2.ModelVersion, _Mapping]]] = ..., rows: _Optional[_Iterable[_Union[ResultRow, _Mapping]]] = ...) -> None: ...

class ResultRow(_message.Message):
    __slots__ = ("ranked", "error")
    RANKED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ranked: Ranked
    error: _history_pb2.RowError
    def __init__(self, ranked: _Optional[_Union[Ranked, _Mapping]] = ..., error: _Optional[_Union[_history_pb2.RowError, _Mapping]] = ...) -> None: ...

class Ranked(_message.Message):
    __slots__ = ("item_ids", "scores", "sources", "unknown_history_items", "degraded", "reasons")
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_HISTORY_ITEMS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    scores: _containers.RepeatedScalarFieldContainer[float]
    sources: _containers.RepeatedScalarFieldContainer[Source]
    unknown_history_items: int
    degraded: bool
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ..., scores: _Optional[_Iterable[float]] = ..., sources: _Optional[_Iterable[_Union[Source, str]]] = ..., unknown_history_items: _Optional[int] = ..., degraded: _Optional[bool] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class RankRequest(_message.Message):
    __slots__ = ("user_id", "history", "item_ids", "pipeline", "now")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: _history_pb2.History
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    pipeline: str
    now: _timestamp_pb2.Timestamp
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Union[_history_pb2.History, _Mapping]] = ..., item_ids: _Optional[_Iterable[str]] = ..., pipeline: _Optional[str] = ..., now: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RankResponse(_message.Message):
    __slots__ = ("request_id", "items", "unknown_item_ids", "unknown_history_items", "models", "degraded", "reasons")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_HISTORY_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    unknown_item_ids: _containers.RepeatedScalarFieldContainer[str]
    unknown_history_items: int
    models: _containers.RepeatedCompositeFieldContainer[_history_pb2.ModelVersion]
    degraded: bool
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., unknown_item_ids: _Optional[_Iterable[str]] = ..., unknown_history_items: _Optional[int] = ..., models: _Optional[_Iterable[_Union[_history_pb2.ModelVersion, _Mapping]]] = ..., degraded: _Optional[bool] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

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
    __slots__ = ("items", "shortfall", "model")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    shortfall: int
    model: _history_pb2.ModelVersion
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., shortfall: _Optional[int] = ..., model: _Optional[_Union[_history_pb2.ModelVersion, _Mapping]] = ...) -> None: ...
