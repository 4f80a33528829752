"""Turns what a caller gives into the API's messages, which are checked, and answers into the caller's types."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from honeyguide import answers
from honeyguide.answers.arguments import ArgumentError, as_flag, as_ids
from honeyguide.sdk.errors import InvalidArgument
from honeyguide.server.api.statuses import reason_of
from honeyguide.server.serving.queries import Answer, ItemSource
from honeyguide.v1.errors_pb2 import RowError
from honeyguide.v1.event_service_pb2 import Event
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.model_service_pb2 import Model, ModelState
from honeyguide.v1.recommender_service_pb2 import Filter

__all__ = [
    "checked",
    "convert_event",
    "convert_failure",
    "convert_fields",
    "convert_items",
    "convert_model",
    "convert_models",
    "convert_row",
    "make_event",
    "make_filter",
    "make_history",
    "make_message",
]

P = ParamSpec("P")
T = TypeVar("T")


def make_message(kind: Callable[..., T], **values: Any) -> T:
    """Makes a request; raises `InvalidArgument` for a value that none of its fields can hold."""
    try:
        return kind(**values)
    except (OverflowError, ValueError) as error:
        raise InvalidArgument("request", str(error), "values that the fields of the API can hold") from error


def checked(method: Callable[P, T]) -> Callable[P, T]:
    """Lets a method raise `InvalidArgument` for an argument that has no plain meaning, as the client raises its own."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except ArgumentError as error:
            allowed = f"{error.allowed}; {error.remedy}" if error.remedy else error.allowed
            raise InvalidArgument(error.field, error.value, allowed) from error

    return call


def make_history(columns: Mapping[str, Any] | None) -> History | None:
    """Makes a history of its columns."""
    return None if columns is None else make_message(History, **columns)


def make_filter(exclude: object, allow: object, any_categories: object, ignore_category_case: object) -> Filter:
    """Makes the limits on an answer."""
    return make_message(
        Filter,
        exclude_item_ids=as_ids("exclude", exclude),
        allow_item_ids=as_ids("allow", allow),
        any_categories=as_ids("any_categories", any_categories),
        ignore_category_case=as_flag("ignore_category_case", ignore_category_case),
    )


def make_event(fields: Mapping[str, Any]) -> Event:
    """Makes an event; one whose id is None gets a random one, so that recording it twice stores it once."""
    return make_message(Event, **{**fields, **({"event_id": uuid4().hex} if fields["event_id"] is None else {})})


def convert_event(message: Event) -> answers.Event:
    """Reads a recorded event."""
    values: dict[str, Any] = {
        name: getattr(message, name) if not field.has_presence or message.HasField(name) else None
        for name, field in Event.DESCRIPTOR.fields_by_name.items()
    }
    return answers.Event(**values)


def convert_model(message: Model) -> answers.Model:
    """Reads what is known of one bundle."""
    values = {name: getattr(message, name) for name in Model.DESCRIPTOR.fields_by_name}
    converted = {
        "state": ModelState.Name(message.state).removeprefix("MODEL_STATE_"),
        "metrics": dict(message.metrics),
        "retrievers": tuple(answers.ModelVersion(each.name, each.version) for each in message.retrievers),
    }
    return answers.Model(**{**values, **converted})


def convert_items(answer: Answer) -> tuple[answers.Item, ...]:
    """Reads the items of an answer, best first."""
    because_items = answer.because_items or [()] * len(answer.item_ids)
    columns = zip(answer.item_ids, answer.scores, answer.sources, answer.titles, because_items, strict=True)
    return tuple(
        answers.Item(
            item_id=item_id,
            score=score,
            source=ItemSource(source).name,
            source_model="" if source == ItemSource.POPULAR else answer.source_model,
            title=title,
            because_items=tuple(answers.BecauseItem(*item) for item in because),
        )
        for item_id, score, source, title, because in columns
    )


def convert_fields(answer: Answer) -> dict[str, Any]:
    """Returns the fields that the answers to one user's recommendations and rankings have in common."""
    return {
        "request_id": uuid4().hex,
        "unknown_history_items": answer.unknown_history_items,
        "models": convert_models(answer.models),
        "user_state": answer.user_state.name,
        "degraded": bool(answer.degraded_reasons),
        "degraded_reasons": answer.degraded_reasons,
    }


def convert_row(answer: Answer, user_id: str | None, k: int, *, titles: bool) -> answers.Ranked:
    """Reads the answer to one user of a batch, who asked for k items."""
    return answers.Ranked(
        item_ids=tuple(answer.item_ids),
        scores=tuple(answer.scores),
        sources=tuple(ItemSource(source).name for source in answer.sources),
        source_model=answer.source_model,
        user_state=answer.user_state.name,
        user_id=user_id,
        titles=tuple(answer.titles) if titles else (),
        shortfall=k - len(answer.item_ids),
        unknown_history_items=answer.unknown_history_items,
        degraded=bool(answer.degraded_reasons),
        degraded_reasons=answer.degraded_reasons,
    )


def convert_models(keys: Iterable[tuple[str, int]]) -> tuple[answers.ModelVersion, ...]:
    """Reads names and versions of the bundles that took part."""
    return tuple(answers.ModelVersion(*key) for key in keys)


def convert_failure(error: RowError) -> answers.RowFailure:
    """Reads why one of many failed."""
    return answers.RowFailure(error.code, reason_of(error), error.field, error.message)
