"""Turns the callers' dataclasses into protocol buffers, and answers back into dataclasses."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from honeyguide.client import answers
from honeyguide.client.errors import InputError
from honeyguide.v1 import event_service_pb2, history_pb2, model_service_pb2, recommender_service_pb2

__all__ = [
    "batch_answer",
    "batch_message",
    "event",
    "event_message",
    "filter_message",
    "history_message",
    "ids",
    "item",
    "model",
    "model_version",
    "pipeline",
    "plugin",
    "row_failure",
    "timestamp",
]

A = TypeVar("A")


def ids(field: str, given: Iterable[str]) -> Iterable[str]:
    """Passes a list of ids on; a bare string would pass as a list of its letters and is refused."""
    if isinstance(given, str):
        raise InputError(f"{field} is the string {given!r}; allowed: a list of ids", field=field)
    return given


def timestamp(field: str, moment: datetime | None) -> Timestamp | None:
    """Makes a timestamp; a moment without time zone is refused, as it could mean two different hours."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InputError(
            f"{field} is {moment.isoformat()}, which has no time zone",
            field=field,
            remedy="use datetime.now(UTC), or add tzinfo",
        )
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def filter_message(
    exclude: Iterable[str], allow: Iterable[str], any_category: Iterable[str]
) -> recommender_service_pb2.Filter:
    """Makes the limits on an answer."""
    return recommender_service_pb2.Filter(
        exclude_item_ids=ids("exclude", exclude),
        allow_item_ids=ids("allow", allow),
        any_category=ids("any_category", any_category),
    )


def history_message(history: answers.History | Sequence[str] | None) -> history_pb2.History | None:
    """Makes a history from columns or from item ids alone."""
    if history is None:
        return None
    if not isinstance(history, answers.History):
        return history_pb2.History(item_ids=ids("history", history))
    return history_pb2.History(
        item_ids=ids("history.item_ids", history.item_ids),
        time_ms=history.time_ms,
        event_type=ids("history.event_type", history.event_type),
        dwell_seconds=history.dwell_seconds,
        clicks=history.clicks,
        quantity=history.quantity,
        value=history.value,
    )


def batch_message(
    sequence: int, rows: Sequence[answers.UserRow | str]
) -> recommender_service_pb2.RecommendStreamRequest:
    """Makes one batch of users; a bare string is a user id."""
    if isinstance(rows, str):
        raise InputError(f"a batch is the string {rows!r}; allowed: a list of users", field="batches")
    users = (answers.UserRow(row) if isinstance(row, str) else row for row in rows)
    messages = [
        recommender_service_pb2.UserRow(user_id=user.user_id, history=history_message(user.history)) for user in users
    ]
    batch = recommender_service_pb2.UserBatch(sequence=sequence, rows=messages)
    return recommender_service_pb2.RecommendStreamRequest(batch=batch)


def event_message(given: answers.Event) -> event_service_pb2.Event:
    """Makes an event; one whose id is None gets a random id, so that recording it twice stores it once."""
    return event_service_pb2.Event(
        event_id=uuid.uuid4().hex if given.event_id is None else given.event_id,
        user_id=given.user_id,
        item_id=given.item_id,
        time=timestamp("time", given.time),
        type=given.type,
        dwell_seconds=given.dwell_seconds,
        clicks=given.clicks,
        quantity=given.quantity,
        value=given.value,
        request_id=given.request_id,
    )


def event(message: event_service_pb2.Event) -> answers.Event:
    """Reads a recorded event."""

    def known(field: str) -> Any:
        return getattr(message, field) if message.HasField(field) else None

    return _same_fields(
        answers.Event,
        message,
        time=_moment(message, "time"),
        dwell_seconds=known("dwell_seconds"),
        clicks=known("clicks"),
        quantity=known("quantity"),
        value=known("value"),
    )


def item(message: recommender_service_pb2.Item) -> answers.Item:
    """Reads one recommended item."""
    return answers.Item(
        item_id=message.item_id,
        score=message.score,
        source=_enum_word(recommender_service_pb2.Source, "SOURCE_", message.source),
        source_model=message.source_model,
        title=message.title,
        because=tuple(message.because),
    )


def model_version(message: history_pb2.ModelVersion) -> answers.ModelVersion:
    """Reads the name and version of a bundle."""
    return answers.ModelVersion(message.name, message.version)


def row_failure(message: history_pb2.RowError) -> answers.RowFailure:
    """Reads why one row failed."""
    return _same_fields(answers.RowFailure, message)


def batch_answer(message: recommender_service_pb2.RecommendStreamResponse) -> answers.BatchAnswer:
    """Reads the answer to one batch."""
    words = {
        n: _enum_word(recommender_service_pb2.Source, "SOURCE_", n) for n in recommender_service_pb2.Source.values()
    }
    rows: list[answers.Ranked | answers.RowFailure] = []
    for row in message.rows:
        if row.WhichOneof("result") == "ranked":
            sources = tuple(words.get(source, str(source)) for source in row.ranked.sources)
            scores, unknown = tuple(row.ranked.scores), row.ranked.unknown_history_items
            why = tuple(row.ranked.reasons)
            ranked = answers.Ranked(tuple(row.ranked.item_ids), scores, sources, unknown, row.ranked.degraded, why)
            rows.append(ranked)
        else:
            rows.append(row_failure(row.error))
    return answers.BatchAnswer(message.sequence, tuple(map(model_version, message.models)), tuple(rows))


def model(message: model_service_pb2.Model) -> answers.Model:
    """Reads one bundle."""
    return _same_fields(
        answers.Model,
        message,
        state=_enum_word(model_service_pb2.ModelState, "MODEL_STATE_", message.state),
        metrics=dict(message.metrics),
        create_time=_moment(message, "create_time"),
        retrievers=tuple(map(model_version, message.retrievers)),
    )


def pipeline(message: model_service_pb2.Pipeline) -> answers.Pipeline:
    """Reads one pipeline."""
    return _same_fields(
        answers.Pipeline,
        message,
        retrievers=tuple(map(model_version, message.retrievers)),
        ranker=model_version(message.ranker) if message.HasField("ranker") else None,
        rules=tuple(message.rules),
    )


def plugin(message: model_service_pb2.Plugin) -> answers.Plugin:
    """Reads one plugin."""
    return _same_fields(answers.Plugin, message, models=tuple(message.models), rules=tuple(message.rules))


def _same_fields(answer: type[A], message: Message, **converted: Any) -> A:
    """Makes an answer of the message's fields of the same names, except those given converted."""
    names = [f.name for f in fields(answer)]  # type: ignore[arg-type]  # every answer is a dataclass
    return answer(**{name: converted[name] if name in converted else getattr(message, name) for name in names})


def _moment(message: Message, field: str) -> datetime | None:
    """Reads an optional timestamp as a moment in UTC."""
    return getattr(message, field).ToDatetime(tzinfo=UTC) if message.HasField(field) else None


def _enum_word(enum: Any, prefix: str, number: int) -> str:
    """Names an enum value without its prefix; a value newer than this client stays a number."""
    return enum.Name(number).removeprefix(prefix) if number in enum.values() else str(number)
