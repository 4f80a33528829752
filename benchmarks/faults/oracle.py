"""Says what a server must answer to a message, from the comments in the protos and docs/errors.md alone.

Nothing here is imported from the server: where this page and the server disagree, one of them is wrong.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from faults.material import ITEM_IDS, MODELS, VERSIONS

__all__ = ["ORACLES", "Expected", "expected_options", "expected_row", "expected_stream"]

DAY_MS = 86_400_000
PIPELINES = ("", "near", "both")
_INFERENCE = (
    *("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"),
    *("ModelInfer", "ModelStreamInfer", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"),
)
_SERVICES = ("", *(f"honeyguide.v1.{name}Service" for name in ("Recommender", "Event", "Model")))
_UNNEEDED = ("recent",)
"""Models that no pipeline needs."""
OK = "OK"
INVALID = "INVALID_ARGUMENT"


@dataclass
class Expected:
    """Codes that are right, and a check of an answer that is OK: it returns what is wrong with it, or nothing."""

    codes: set[str] = field(default_factory=set)
    check: Callable[[Any], str] = lambda _: ""
    reason: str = ""
    """The one reason that is right; "": any."""

    @classmethod
    def of(cls, wrong: Sequence[str], missing: str = "", check: Callable[[Any], str] = lambda _: "") -> Expected:
        """Makes one out of what is out of its range, and of a code for what does not exist; both: either code."""
        codes = ({INVALID} if wrong else set()) | ({missing} if missing else set())
        return cls(codes or {OK}, check)


def _size(text: str) -> int:
    return len(text.encode())


def _text(name: str, text: str, shortest: int, longest: int) -> list[str]:
    return [] if shortest <= _size(text) <= longest else [name]


def _texts(name: str, texts: Sequence[str], shortest: int, longest: int) -> list[str]:
    return [name] if any(not shortest <= _size(text) <= longest for text in texts) else []


def _time(name: str, value: int) -> list[str]:
    return [] if 0 <= value <= time.time_ns() // 1_000_000 + DAY_MS else [name]


def _k(message: Any) -> list[str]:
    return ["k"] if message.HasField("k") and not 1 <= message.k <= 1000 else []


def _filter(message: Any) -> list[str]:
    given = message.filter
    lists = (given.exclude_item_ids, given.allow_item_ids, given.any_categories)
    wrong = ["too many"] if any(len(own) > most for own, most in zip(lists, (10_000, 10_000, 100), strict=True)) else []
    return wrong + [problem for own in lists for problem in _texts("filter", own, 1, 256)]


def _history(given: Any) -> list[str]:
    count = len(given.item_ids)
    wrong = _texts("item_ids", given.item_ids, 1, 256) + (["too many"] if count > 4096 else [])
    amounts = (given.dwell_seconds, given.clicks, given.quantities)
    for column in (given.times_ms, given.event_types, *amounts, given.values):
        if len(column) not in (0, count):
            wrong.append("length")
    times = list(given.times_ms)
    wrong += [problem for moment in times for problem in _time("times_ms", moment)]
    wrong += ["order"] if times != sorted(times) else []
    wrong += _texts("event_types", given.event_types, 0, 64)
    wrong += ["amount" for column in amounts for value in column if value < 0 or math.isinf(value)]
    return wrong + ["value" for value in given.values if math.isinf(value)]


def _who(message: Any) -> list[str]:
    wrong = _text("user_id", message.user_id, 1, 256) if message.HasField("user_id") else []
    return wrong + (_history(message.history) if message.HasField("history") else [])


def _pipeline(message: Any) -> str:
    return "" if message.pipeline in PIPELINES else "NOT_FOUND"


def _page(message: Any) -> list[str]:
    return (["page_size"] if message.page_size < 0 else []) + (["page_token"] if message.page_token else [])


def _answered(message: Any, items: Sequence[str], shortfall: int) -> str:
    """Checks items against k and the filter."""
    k = message.k if message.HasField("k") else 10
    if len(items) + shortfall != k:
        return f"{len(items)} items and a shortfall of {shortfall} for k {k}"
    if len(set(items)) != len(items):
        return "an item twice"
    if set(items) & set(message.filter.exclude_item_ids):
        return "an excluded item"
    if message.filter.allow_item_ids and not set(items) <= set(message.filter.allow_item_ids):
        return "an item that is not allowed"
    return ""


def _recommend(message: Any) -> Expected:
    wrong = _who(message) + _k(message) + _filter(message) + _time("request_time_ms", message.request_time_ms)

    def check(answer: Any) -> str:
        if len(answer.request_id) != 32 or answer.degraded:
            return f"request_id {answer.request_id!r}, degraded {list(answer.degraded_reasons)}"
        return _answered(message, [item.item_id for item in answer.items], answer.shortfall)

    return Expected.of(wrong, _pipeline(message), check)


def _rank(message: Any) -> Expected:
    ids = list(message.item_ids)
    wrong = _who(message) + _time("request_time_ms", message.request_time_ms) + _texts("item_ids", ids, 1, 256)
    wrong += ["count"] if not 1 <= len(ids) <= 1000 or len(set(ids)) != len(ids) else []

    def check(answer: Any) -> str:
        back = [*(item.item_id for item in answer.items), *answer.unknown_item_ids]
        return "" if sorted(back) == sorted(ids) else "not the candidates that were given"

    return Expected.of(wrong, _pipeline(message), check)


def _similar(message: Any) -> Expected:
    wrong = _text("item_id", message.item_id, 1, 256) + _k(message) + _filter(message)
    missing = "NOT_FOUND" if message.item_id not in ITEM_IDS else _pipeline(message)

    def check(answer: Any) -> str:
        items = [item.item_id for item in answer.items]
        return "the item itself" if message.item_id in items else _answered(message, items, answer.shortfall)

    return Expected.of(wrong, missing, check)


def _event(event: Any) -> list[str]:
    wrong = _text("event_id", event.event_id, 0, 128) + _text("user_id", event.user_id, 1, 256)
    wrong += _text("item_id", event.item_id, 1, 256) + _time("time_ms", event.time_ms)
    wrong += _text("event_type", event.event_type, 0, 64) + _text("request_id", event.request_id, 0, 128)
    for name in ("dwell_seconds", "clicks", "quantity"):
        value = getattr(event, name)
        wrong += [name] if not math.isfinite(value) or value < 0 else []
    return wrong + ([] if math.isfinite(event.value) else ["value"])


def _record(message: Any) -> Expected:
    rejected = [index for index, event in enumerate(message.events) if _event(event)]

    def check(answer: Any) -> str:
        came = [(each.index, each.error.code) for each in answer.rejected]
        if came != [(index, 3) for index in rejected]:
            return f"rejected {came}, and {rejected} break a rule"
        whole = answer.accepted + answer.duplicates + len(rejected)
        return "" if whole == len(message.events) else f"{whole} outcomes of {len(message.events)} events"

    return Expected.of([] if 1 <= len(message.events) <= 1000 else ["events"], check=check)


def _model(message: Any) -> Expected:
    """Expects a name and a version, 0 or one that exists."""
    there = message.name in MODELS and (message.version == 0 or message.version in VERSIONS)
    return Expected.of(["version"] if message.version < 0 else [], "" if there else "NOT_FOUND")


def _load(message: Any) -> Expected:
    """Expects, besides, no digest, or that of the bundle: what is drawn here never is."""
    expected = _model(message)
    if message.digest and not re.fullmatch("[0-9a-f]{64}", message.digest):
        expected.codes = expected.codes - {OK} | {INVALID}
    elif message.digest and expected.codes == {OK}:
        expected.codes = {"FAILED_PRECONDITION"}
    return expected


def _unload(message: Any) -> Expected:
    if message.name in _UNNEEDED:
        return Expected({OK})
    return Expected({"FAILED_PRECONDITION"} if message.name in MODELS else {"NOT_FOUND"})


def _set_traffic(message: Any) -> Expected:
    own = message.pipeline or "near"  # the default of the servers that are tried
    names = [*(arm.pipeline for arm in message.traffic.arms), *message.traffic.shadows]
    missing = "NOT_FOUND" if any(name not in PIPELINES[1:] for name in [own, *names]) else ""
    shares = [arm.percent for arm in message.traffic.arms]
    wrong = ["percent"] if not all(share > 0 for share in shares) or sum(shares) > 100 else []
    for each in ([arm.pipeline for arm in message.traffic.arms], message.traffic.shadows):
        wrong += ["duplicates"] if len(set(each)) < len(each) else []
    wrong += ["either"] if message.HasField("traffic") == message.previous else []
    expected = Expected.of(wrong, missing)
    if own in names and not wrong:  # the protos speak of others
        expected.codes = expected.codes | {INVALID}
    if message.previous and expected.codes == {OK}:
        expected.codes = {OK, "FAILED_PRECONDITION"}  # by what was set before
    return expected


def _upsert(message: Any) -> Expected:
    """Expects a refusal in any case: no model of the servers that are tried places new items."""
    ids = [item.item_id for item in message.items]
    wrong = ["items"] if not 1 <= len(ids) <= 1000 or len(set(ids)) < len(ids) else _texts("item_id", ids, 1, 256)
    for item in message.items:
        columns = (item.categories, item.texts, item.numbers, item.vectors)
        wrong += _text("title", item.title, 0, 500) + _texts("categories", item.categories, 1, 256)
        texts = [item.title, *item.texts.values()]
        if not (any(map(str.strip, texts)) or item.categories or item.numbers or item.vectors):
            wrong.append("nothing is said")
        wrong += ["entries"] if any(len(column) > 100 for column in columns) else []
        wrong += _texts("column", [*item.texts, *item.numbers, *item.vectors], 1, 256)
        wrong += _texts("texts", list(item.texts.values()), 0, 10_000)
        wrong += ["numbers"] if not all(map(math.isfinite, item.numbers.values())) else []
        vectors = [vector.values for vector in item.vectors.values()]
        fits = all(1 <= len(own) <= 4096 and all(map(math.isfinite, own)) for own in vectors)
        wrong += [] if fits else ["vectors"]
    return Expected({INVALID} if wrong else {"FAILED_PRECONDITION"})


def _delete(message: Any) -> Expected:
    ids = list(message.item_ids)
    fits = 1 <= len(ids) <= 1000 and len(set(ids)) == len(ids)
    return Expected.of(_texts("item_ids", ids, 1, 256) if fits else ["item_ids"])


def _inference(_: Any) -> Expected:
    """Expects what is no fault of the server; which code it is, Triton itself says (`make bench-oip`)."""
    return Expected({OK, INVALID, "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "UNAVAILABLE"})


def _user(message: Any) -> Expected:
    return Expected.of(_text("user_id", message.user_id, 1, 256))


ORACLES: dict[str, Callable[[Any], Expected]] = {
    "RecommenderService/Recommend": _recommend,
    "RecommenderService/Rank": _rank,
    "RecommenderService/SimilarItems": _similar,
    "EventService/RecordEvents": _record,
    "EventService/ListEvents": lambda m: Expected.of(_text("user_id", m.user_id, 1, 256) + _page(m)),
    "EventService/ListUsers": lambda m: Expected.of(_page(m)),
    "EventService/DeleteUser": _user,
    "ModelService/ListModels": lambda m: Expected.of(_page(m)),
    "ModelService/GetModel": _model,
    "ModelService/LoadModel": _load,
    "ModelService/UnloadModel": _unload,
    "ModelService/SetTraffic": _set_traffic,
    "ModelService/UpsertItems": _upsert,
    "ModelService/DeleteItems": _delete,
    "ModelService/ListItems": lambda m: Expected.of(_page(m)),
    "ModelService/ListPipelines": lambda m: Expected.of(_page(m)),
    "ModelService/ListPlugins": lambda m: Expected.of(_page(m)),
    **{f"GRPCInferenceService/{name}": _inference for name in _INFERENCE},
    "Health/Check": lambda m: Expected({OK} if m.service in _SERVICES else {"NOT_FOUND"}),
    "Health/List": lambda _: Expected({OK}),
    "Health/Watch": lambda _: Expected({OK}),
    "ServerReflection/ServerReflectionInfo": lambda _: Expected({OK}),
}
"""What must come of a message that could be read, by service and rpc."""


def expected_options(options: Any) -> Expected:
    """Expects of a stream what its options allow: OK, or the code that it ends with."""
    wrong = _k(options) + _filter(options) + _time("request_time_ms", options.request_time_ms)
    missing = _pipeline(options)
    if options.required_models and not wrong and not missing:
        return Expected({"FAILED_PRECONDITION"})  # what is drawn here never names the versions that serve, all of them
    if options.required_models:
        missing = missing or "FAILED_PRECONDITION"
    return Expected.of(wrong, missing)


def expected_row(row: Any) -> bool:
    """Whether a user of a batch gets items."""
    return not _who(row)


def expected_stream(messages: Sequence[Any]) -> tuple[set[str], list[list[bool] | None]]:
    """Returns the codes a stream may end with, and what must come of each batch: its rows, or None for its error.

    Args:
        messages: what was sent; None is one that cannot be read.
    """
    if not messages:
        return {OK}, []
    if messages[0] is None or messages[0].WhichOneof("message") != "options":
        return {INVALID}, []
    options = messages[0].options
    begun = expected_options(options)
    if begun.codes != {OK}:
        return begun.codes, []
    k = options.k if options.HasField("k") else 10
    batches: list[list[bool] | None] = []
    for message in messages[1:]:
        if message is None:
            return {INVALID}, batches
        if message.WhichOneof("message") != "batch":
            # A rule that a message breaks: "all others `batch`". It may fail alone or end the stream.
            return {OK, INVALID}, batches
        rows = message.batch.rows
        fits = 1 <= len(rows) <= 256 and len(rows) * k <= 20_000
        batches.append([expected_row(row) for row in rows] if fits else None)
    return {OK}, batches
