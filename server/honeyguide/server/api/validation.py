"""Turns requests into queries; every field that is out of its range is named, with its value and range."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.sdk.event import EVENT_FEATURES, MAX_EVENT_TYPE_BYTES, MAX_ID_BYTES, NON_NEGATIVE_FEATURES
from honeyguide.server.api.violations import Violations
from honeyguide.server.bundles.catalogue import ItemFilter
from honeyguide.server.serving.event_columns import InlineHistory
from honeyguide.server.serving.histories import UserInput
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
    "DAY_MS",
    "check_batch",
    "check_text",
    "check_time",
    "rank_query",
    "recommend_query",
    "row_query",
    "similar_query",
    "stream_defaults",
]

DAY_MS = 86_400_000
_MAX_EVENTS = 4096
_MAX_K = 1000
_DEFAULT_K = 10
_MAX_BATCH = 256
_MAX_ANSWERS = 20_000
_FEATURE_OF = dict(zip(("dwell_seconds", "clicks", "quantities", "values"), EVENT_FEATURES, strict=True))
"""Feature of an event by the column of a history that holds it: repeated fields are plural."""
_COLUMNS = ("times_ms", "event_types", *_FEATURE_OF)
"""Columns of a history beside its items; each is empty or as long."""


def recommend_query(request: RecommendRequest) -> RecommendQuery:
    """Checks a request for one user."""
    violations = Violations()
    query = RecommendQuery(
        user=_user(request, _request_time(request, violations), violations),
        k=_k(request, violations),
        drop_seen=request.drop_seen if request.HasField("drop_seen") else None,
        filter=_filter(request.filter, violations) if request.HasField("filter") else None,
        explain=request.explain,
    )
    violations.refuse()
    return query


def rank_query(request: RankRequest) -> RankQuery:
    """Checks a request to score candidates."""
    violations = Violations()
    ids = violations.check(_candidates, request)
    query = RankQuery(_user(request, _request_time(request, violations), violations), ids)
    violations.refuse()
    return query


def similar_query(request: SimilarItemsRequest) -> SimilarQuery:
    """Checks a request for an item's neighbours."""
    violations = Violations()
    violations.check(check_text, "item_id", request.item_id, 1, MAX_ID_BYTES)
    query = SimilarQuery(
        item_id=request.item_id,
        k=_k(request, violations),
        filter=_filter(request.filter, violations) if request.HasField("filter") else None,
    )
    violations.refuse()
    return query


def stream_defaults(options: StreamOptions) -> RecommendQuery:
    """Checks a stream's options; returns the query that each of its users' is made from by `row_query`."""
    violations = Violations()
    query = RecommendQuery(
        user=UserInput(request_time_ms=_request_time(options, violations)),
        k=_k(options, violations),
        drop_seen=options.drop_seen if options.HasField("drop_seen") else None,
        filter=_filter(options.filter, violations) if options.HasField("filter") else None,
    )
    violations.refuse()
    return query


def row_query(row: UserRow, defaults: RecommendQuery, *, at_own_time: bool) -> RecommendQuery:
    """Checks one user of a stream; ``at_own_time``: the options name no moment, so it is the server's clock."""
    violations = Violations()
    moment = _clock_ms() if at_own_time else defaults.user.request_time_ms
    query = RecommendQuery(_user(row, moment, violations), defaults.k, defaults.drop_seen, defaults.filter)
    violations.refuse()
    return query


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


def check_text(field: str, text: str, shortest: int, longest: int) -> None:
    """Raises `InvalidArgument` for a text of too few or too many bytes of UTF-8."""
    _check_texts(field, (text,), shortest, longest)


def check_time(field: str, time_ms: int, clock_ms: int) -> int:
    """Returns a moment, 0 as the server's clock; raises `InvalidArgument` before 1970 or a day ahead of the clock."""
    latest = clock_ms + DAY_MS
    if not 0 <= time_ms <= latest:
        raise InvalidArgument(
            field, time_ms, f"0 to {latest} (one day ahead of the server's clock), milliseconds since 1970"
        )
    return time_ms or clock_ms


def _user(request: RecommendRequest | RankRequest | UserRow, moment_ms: int, violations: Violations) -> UserInput:
    user_id = request.user_id if request.user_id or request.HasField("user_id") else None
    if user_id is not None:
        violations.check(check_text, "user_id", user_id, 1, MAX_ID_BYTES)
    history = _history(request.history, violations) if request.HasField("history") else None
    return UserInput(user_id, history, moment_ms)


def _candidates(request: RankRequest) -> list[str]:
    ids = list(request.item_ids)
    if not 1 <= len(ids) <= _MAX_K:
        raise InvalidArgument("item_ids", f"{len(ids)} items", f"1 to {_MAX_K:,} items")
    _check_texts("item_ids", ids, 1, MAX_ID_BYTES)
    if len(set(ids)) < len(ids):
        twice = next(item for i, item in enumerate(ids) if item in ids[:i])
        raise InvalidArgument("item_ids", twice, "each item once")
    return ids


def _k(request: RecommendRequest | SimilarItemsRequest | StreamOptions, violations: Violations) -> int:
    k = request.k
    if 1 <= k <= _MAX_K:
        return k
    if not request.HasField("k"):
        return _DEFAULT_K
    violations.add(InvalidArgument("k", k, f"1 to {_MAX_K:,}"))
    return k


def _request_time(request: RecommendRequest | RankRequest | StreamOptions, violations: Violations) -> int:
    clock_ms = _clock_ms()
    if not request.request_time_ms:
        return clock_ms
    return violations.check(check_time, "request_time_ms", request.request_time_ms, clock_ms)


def _filter(given: Filter, violations: Violations) -> ItemFilter:
    for name, most in (("exclude_item_ids", 10_000), ("allow_item_ids", 10_000), ("any_categories", 100)):
        violations.check(_check_entries, f"filter.{name}", getattr(given, name), most)
    return ItemFilter(
        list(given.exclude_item_ids),
        list(given.allow_item_ids),
        list(given.any_categories),
        given.ignore_category_case,
    )


def _check_entries(field: str, values: Sequence[str], most: int) -> None:
    if len(values) > most:
        raise InvalidArgument(field, f"{len(values)} entries", f"at most {most:,}")
    _check_texts(field, values, 1, MAX_ID_BYTES)


def _history(given: History, violations: Violations) -> InlineHistory:
    ids = given.item_ids[:]  # at once; iterating takes a call for each
    violations.check(_check_events, ids)
    fields = given.ListFields()
    if len(fields) == 1 and ids:  # as most requests have it
        return InlineHistory(ids)
    columns = {field.name: column for field, column in fields if field.name in _COLUMNS}
    for name, column in columns.items():
        violations.check(_check_length, name, len(column), len(ids))
    if given.event_types:
        violations.check(_check_texts, "history.event_types", given.event_types, 0, MAX_EVENT_TYPE_BYTES)
    features = {
        feature: violations.check(_feature, name, feature, columns[name])
        for name, feature in _FEATURE_OF.items()
        if name in columns
    }
    times = violations.check(_times, given) if given.times_ms else None
    return InlineHistory(ids, times, list(given.event_types), features)


def _check_events(ids: Sequence[str]) -> None:
    if len(ids) > _MAX_EVENTS:
        raise InvalidArgument("history.item_ids", f"{len(ids)} events", f"at most {_MAX_EVENTS:,} events")
    _check_texts("history.item_ids", ids, 1, MAX_ID_BYTES)


def _check_length(name: str, length: int, events: int) -> None:
    if length not in (0, events):
        raise InvalidArgument(f"history.{name}", f"{length} entries", f"0 or {events}, as many as item_ids")


def _feature(name: str, feature: str, column: Sequence[float]) -> NDArray[np.float32]:
    values = np.array(column, np.float32)
    signed = feature not in NON_NEGATIVE_FEATURES
    bad = np.isinf(values) if signed else np.isinf(values) | (values < 0)
    if bad.any():
        allowed = "finite" if signed else "finite, 0 or more"
        raise InvalidArgument(f"history.{name}", float(values[bad][0]), f"{allowed}; NaN where it is not known")
    return values


def _times(given: History) -> NDArray[np.int64]:
    times = np.array(given.times_ms, np.int64)
    clock_ms = _clock_ms()
    for edge in (times.min(), times.max()):
        check_time("history.times_ms", int(edge), clock_ms)
    if (falls := np.flatnonzero(np.diff(times) < 0)).size:
        first = int(falls[0])
        raise InvalidArgument(
            "history.times_ms",
            f"{times[first]}, then {times[first + 1]}",
            "non-decreasing times: send the oldest first",
        )
    return times


def _check_texts(field: str, values: Sequence[str], shortest: int, longest: int) -> None:
    """Checks lengths in bytes of UTF-8, ``shortest`` 0 or 1; most texts are so short that they need no second look."""
    if not values or (max(map(len, values)) * 4 <= longest and (not shortest or all(values))):
        return
    for value in values:
        size = len(value.encode())
        if not shortest <= size <= longest:
            raise InvalidArgument(field, value, f"{shortest} to {longest} bytes; this has {size}")


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
