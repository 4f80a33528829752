"""Turns the callers' dataclasses into protocol buffers, and answers back into dataclasses."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache, lru_cache
from typing import Any, TypeVar

from google.protobuf.message import Message

from honeyguide import answers
from honeyguide.answers.arguments import as_flag, as_history, as_ids, as_user_row, as_users
from honeyguide.v1 import errors_pb2, event_service_pb2, history_pb2, model_service_pb2, recommender_service_pb2

__all__ = [
    "batch_answer",
    "batch_message",
    "degraded_reasons",
    "event",
    "event_message",
    "filter_message",
    "history_message",
    "item",
    "model",
    "model_version",
    "pipeline",
    "plugin",
    "row_failure",
    "traffic",
    "user_state",
]

A = TypeVar("A")


def filter_message(
    exclude: object, allow: object, any_categories: object, ignore_category_case: object
) -> recommender_service_pb2.Filter:
    """Makes the limits on an answer."""
    return recommender_service_pb2.Filter(
        exclude_item_ids=as_ids("exclude", exclude),
        allow_item_ids=as_ids("allow", allow),
        any_categories=as_ids("any_categories", any_categories),
        ignore_category_case=as_flag("ignore_category_case", ignore_category_case),
    )


def history_message(history: object) -> history_pb2.History | None:
    """Makes a history from columns or from item ids alone."""
    return None if history is None else history_pb2.History(**as_history("history", history))


def batch_message(sequence: int, rows: object) -> recommender_service_pb2.RecommendStreamRequest:
    """Makes one batch of users; a bare id is a user id."""
    name = f"batches[{sequence}]"
    message = recommender_service_pb2.RecommendStreamRequest()
    message.batch.sequence = sequence
    add = message.batch.rows.add  # filled in place: a message that is given to another is copied
    for place, row in enumerate(as_users(name, rows)):
        user_id, history = as_user_row(f"{name}[{place}]", row)
        filled = add()
        if user_id is not None:
            filled.user_id = user_id
        if history is not None:
            filled.history.SetInParent()
            for column, values in history.items():
                getattr(filled.history, column).extend(values)
    return message


def event_message(fields_: Mapping[str, Any]) -> event_service_pb2.Event:
    """Makes an event; one whose id is None gets a random id, so that recording it twice stores it once."""
    named = {} if fields_["event_id"] is not None else {"event_id": uuid.uuid4().hex}
    return event_service_pb2.Event(**{**fields_, **named})


def event(message: event_service_pb2.Event) -> answers.Event:
    """Reads a recorded event."""

    def known(field: str) -> Any:
        return getattr(message, field) if message.HasField(field) else None

    return _same_fields(
        answers.Event,
        message,
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
        because_items=tuple(answers.BecauseItem(item.item_id, item.title) for item in message.because_items),
    )


def model_version(message: history_pb2.ModelVersion) -> answers.ModelVersion:
    """Reads the name and version of a bundle."""
    return answers.ModelVersion(message.name, message.version)


def row_failure(message: errors_pb2.RowError) -> answers.RowFailure:
    """Reads why one row, or one batch, failed."""
    return _same_fields(
        answers.RowFailure, message, reason=_enum_word(errors_pb2.ErrorReason, "ERROR_REASON_", message.reason)
    )


def user_state(number: int) -> str:
    """Names what an answer knows of its user."""
    return _enum_word(recommender_service_pb2.UserState, "USER_STATE_", number)


def degraded_reasons(numbers: Iterable[int]) -> tuple[str, ...]:
    """Names why parts of a pipeline did not run."""
    return tuple(_enum_word(recommender_service_pb2.DegradedReason, "DEGRADED_REASON_", n) for n in numbers)


def batch_answer(message: recommender_service_pb2.RecommendStreamResponse) -> answers.BatchAnswer:
    """Reads the answer to one batch."""
    rows: list[answers.Ranked | answers.RowFailure] = []
    for row in message.rows:
        if row.WhichOneof("result") == "ranked":
            rows.append(_ranked(row.ranked))
        else:
            rows.append(row_failure(row.error))
    return answers.BatchAnswer(
        sequence=message.sequence,
        models=tuple(map(model_version, message.models)),
        rows=tuple(rows),
        request_id=message.request_id,
        error=row_failure(message.error) if message.HasField("error") else None,
        unknown_categories=tuple(message.unknown_categories),
    )


def _ranked(message: recommender_service_pb2.Ranked) -> answers.Ranked:
    # A stream has thousands of these a second: no look at what fields there are, and columns as slices, which come at
    # once where iterating takes a call for each value.
    return answers.Ranked(
        item_ids=tuple(message.item_ids[:]),
        scores=tuple(message.scores[:]),
        sources=_sources(tuple(message.sources[:])),
        source_model=message.source_model,
        user_state=user_state(message.user_state),
        user_id=message.user_id if message.HasField("user_id") else None,
        titles=tuple(message.titles[:]),
        shortfall=message.shortfall,
        unknown_history_items=message.unknown_history_items,
        degraded=message.degraded,
        degraded_reasons=degraded_reasons(message.degraded_reasons[:]),
    )


@lru_cache(maxsize=1024)  # most answers have the same
def _sources(numbers: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(_enum_word(recommender_service_pb2.Source, "SOURCE_", number) for number in numbers)


def model(message: model_service_pb2.Model) -> answers.Model:
    """Reads one bundle."""
    return _same_fields(
        answers.Model,
        message,
        state=_enum_word(model_service_pb2.ModelState, "MODEL_STATE_", message.state),
        metrics=dict(message.metrics),
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
        traffic=traffic(message.traffic),
    )


def traffic(message: model_service_pb2.Traffic) -> answers.Traffic:
    """Reads who answers for a pipeline."""
    return answers.Traffic({arm.pipeline: arm.percent for arm in message.arms}, tuple(message.shadows))


def plugin(message: model_service_pb2.Plugin) -> answers.Plugin:
    """Reads one plugin."""
    return _same_fields(answers.Plugin, message, models=tuple(message.models), rules=tuple(message.rules))


def _same_fields(answer: type[A], message: Message, **converted: Any) -> A:
    """Makes an answer of the message's fields of the same names, except those given converted."""
    names = [f.name for f in fields(answer)]  # type: ignore[arg-type]  # every answer is a dataclass
    return answer(**{name: converted[name] if name in converted else getattr(message, name) for name in names})


def _enum_word(enum: Any, prefix: str, number: int) -> str:
    """Names an enum value without its prefix; a value newer than this client stays a number."""
    return _enum_words(enum, prefix).get(number) or str(number)


@cache
def _enum_words(enum: Any, prefix: str) -> Mapping[int, str]:
    return {number: name.removeprefix(prefix) for name, number in enum.items()}
