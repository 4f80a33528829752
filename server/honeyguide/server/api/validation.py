"""Turns requests into queries; every field that is out of its range is refused by name, value and range."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.sdk.event import EVENT_FEATURES, MAX_EVENT_TYPE_BYTES, MAX_ID_BYTES, NON_NEGATIVE_FEATURES
from honeyguide.server.bundles.catalogue import ItemFilter
from honeyguide.server.serving.histories import InlineHistory, UserInput
from honeyguide.server.serving.queries import RankQuery, RecommendQuery, SimilarQuery
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import (
    Filter,
    RankRequest,
    RecommendRequest,
    RecommendStreamRequest,
    SimilarItemsRequest,
    StreamOptions,
    UserRow,
)

__all__ = [
    "check_batch",
    "rank_query",
    "recommend_query",
    "row_query",
    "similar_query",
    "stream_defaults",
]

_DAY_MS = 86_400_000
_MAX_EVENTS = 4096
_MAX_K = 1000
_DEFAULT_K = 10
_MAX_BATCH = 256
_MAX_ANSWERS = 20_000


def recommend_query(request: RecommendRequest) -> RecommendQuery:
    """Checks a request for one user."""
    return RecommendQuery(
        user=_user(request, _now(request)),
        k=_k(request),
        drop_seen=request.drop_seen if request.HasField("drop_seen") else None,
        filter=_filter(request),
        explain=request.explain,
    )


def rank_query(request: RankRequest) -> RankQuery:
    """Checks a request to score candidates."""
    ids = list(request.item_ids)
    if not 1 <= len(ids) <= _MAX_K:
        raise InvalidArgument("item_ids", f"{len(ids)} items", f"1 to {_MAX_K:,} items")
    _check_texts("item_ids", ids, 1, MAX_ID_BYTES)
    if len(set(ids)) < len(ids):
        twice = next(item for i, item in enumerate(ids) if item in ids[:i])
        raise InvalidArgument("item_ids", twice, "each item once")
    return RankQuery(_user(request, _now(request)), ids)


def similar_query(request: SimilarItemsRequest) -> SimilarQuery:
    """Checks a request for an item's neighbours."""
    _check_texts("item_id", [request.item_id], 1, MAX_ID_BYTES)
    return SimilarQuery(request.item_id, _k(request), _filter(request))


def stream_defaults(options: StreamOptions) -> RecommendQuery:
    """Checks a stream's options; returns the query that each of its users' is made from by `row_query`."""
    return RecommendQuery(
        user=UserInput(request_time_ms=_now(options)),
        k=_k(options),
        drop_seen=options.drop_seen if options.HasField("drop_seen") else None,
        filter=_filter(options),
    )


def row_query(row: UserRow, defaults: RecommendQuery, *, now_given: bool) -> RecommendQuery:
    """Checks one user of a stream; ``now_given``: the options name the moment, else it is the server's clock."""
    now = defaults.user.request_time_ms if now_given else _clock_ms()
    return RecommendQuery(_user(row, now), defaults.k, defaults.drop_seen, defaults.filter)


def check_batch(message: RecommendStreamRequest, k: int) -> None:
    """Checks one message of a stream after its first."""
    if message.WhichOneof("message") != "batch":
        raise InvalidArgument("message", message.WhichOneof("message"), "`batch` after the first message")
    users = len(message.batch.rows)
    if not 1 <= users <= _MAX_BATCH:
        raise InvalidArgument("batch.rows", f"{users} users", f"1 to {_MAX_BATCH} users")
    if users * k > _MAX_ANSWERS:
        raise InvalidArgument(
            "batch.rows", f"{users} users x k {k}", f"users x k of at most {_MAX_ANSWERS:,}: send smaller batches"
        )


def _user(request: RecommendRequest | RankRequest | UserRow, now_ms: int) -> UserInput:
    user_id = request.user_id if request.HasField("user_id") else None
    if user_id is not None:
        _check_texts("user_id", [user_id], 1, MAX_ID_BYTES)
    return UserInput(user_id, _history(request.history) if request.HasField("history") else None, now_ms)


def _k(request: RecommendRequest | SimilarItemsRequest | StreamOptions) -> int:
    k = request.k if request.HasField("k") else _DEFAULT_K
    if not 1 <= k <= _MAX_K:
        raise InvalidArgument("k", k, f"1 to {_MAX_K:,}")
    return k


def _now(request: RecommendRequest | RankRequest | StreamOptions) -> int:
    clock = _clock_ms()
    if not request.HasField("now"):
        return clock
    given: Timestamp = request.now
    now = given.seconds * 1000 + given.nanos // 1_000_000
    if not 0 <= now <= clock + _DAY_MS or not 0 <= given.nanos < 1_000_000_000:
        raise InvalidArgument(
            "now", f"{given.seconds} s {given.nanos} ns", "1970 to one day ahead of the server's clock"
        )
    return now


def _filter(request: RecommendRequest | SimilarItemsRequest | StreamOptions) -> ItemFilter | None:
    if not request.HasField("filter"):
        return None
    given: Filter = request.filter
    for name, most in (("exclude_item_ids", 10_000), ("allow_item_ids", 10_000), ("any_category", 100)):
        values = getattr(given, name)
        if len(values) > most:
            raise InvalidArgument(f"filter.{name}", f"{len(values)} entries", f"at most {most:,}")
        _check_texts(f"filter.{name}", values, 1, MAX_ID_BYTES)
    return ItemFilter(list(given.exclude_item_ids), list(given.allow_item_ids), list(given.any_category))


def _history(given: History) -> InlineHistory:
    ids = list(given.item_ids)
    if len(ids) > _MAX_EVENTS:
        raise InvalidArgument("history.item_ids", f"{len(ids)} events", f"at most {_MAX_EVENTS:,} events")
    _check_texts("history.item_ids", ids, 1, MAX_ID_BYTES)
    for name in ("time_ms", "event_type", *EVENT_FEATURES):
        length = len(getattr(given, name))
        if length not in (0, len(ids)):
            raise InvalidArgument(f"history.{name}", f"{length} entries", f"0 or {len(ids)}, as many as item_ids")
    _check_texts("history.event_type", given.event_type, 0, MAX_EVENT_TYPE_BYTES)
    features = {}
    for name in EVENT_FEATURES:
        if column := getattr(given, name):
            values = np.array(column, np.float32)
            signed = name not in NON_NEGATIVE_FEATURES
            bad = np.isinf(values) if signed else np.isinf(values) | (values < 0)
            if bad.any():
                allowed = "finite" if signed else "finite, 0 or more"
                raise InvalidArgument(f"history.{name}", float(values[bad][0]), f"{allowed}; NaN where it is not known")
            features[name] = values
    return InlineHistory(ids, _times(given), list(given.event_type), features)


def _times(given: History) -> NDArray[np.int64] | None:
    if not given.time_ms:
        return None
    times = np.array(given.time_ms, np.int64)
    latest = _clock_ms() + _DAY_MS
    if times.min() < 0 or times.max() > latest:
        bad = int(times[(times < 0) | (times > latest)][0])
        raise InvalidArgument(
            "history.time_ms", bad, f"0 to {latest} (one day ahead of the server's clock), milliseconds since 1970"
        )
    if (falls := np.flatnonzero(np.diff(times) < 0)).size:
        first = int(falls[0])
        raise InvalidArgument(
            "history.time_ms", f"{times[first]}, then {times[first + 1]}", "non-decreasing times: send the oldest first"
        )
    return times


def _check_texts(field: str, values: Sequence[str], shortest: int, longest: int) -> None:
    """Checks lengths in bytes of UTF-8; most texts are so short that their characters need no second look."""
    if not values:
        return
    lengths = list(map(len, values))
    if min(lengths) >= shortest and max(lengths) * 4 <= longest:
        return
    for value in values:
        size = len(value.encode())
        if not shortest <= size <= longest:
            raise InvalidArgument(field, value, f"{shortest} to {longest} bytes; this has {size}")


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
