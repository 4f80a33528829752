"""Turns what a caller gives into the API's messages, which are checked, and answers into the caller's types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from honeyguide import answers
from honeyguide.sdk.errors import InvalidArgument
from honeyguide.server.api.interceptor import reason_of
from honeyguide.server.serving.queries import Answer, ItemSource
from honeyguide.v1.errors_pb2 import RowError
from honeyguide.v1.event_service_pb2 import Event
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import Filter

__all__ = [
    "check_list",
    "convert_failure",
    "convert_fields",
    "convert_items",
    "convert_models",
    "convert_row",
    "make_event",
    "make_filter",
    "make_history",
    "make_message",
]

T = TypeVar("T")


def make_message(kind: Callable[..., T], **values: Any) -> T:
    """Makes a request; raises `InvalidArgument` for a value that none of its fields can hold."""
    try:
        return kind(**values)
    except (OverflowError, ValueError) as error:
        raise InvalidArgument("request", str(error), "values that the fields of the API can hold") from error


def check_list(field: str, entries: Iterable[T]) -> Iterable[T]:
    """Passes entries on; a bare string would pass as a list of its letters and is refused."""
    if isinstance(entries, str):
        raise InvalidArgument(field, entries, "a list")
    return entries


def make_history(history: answers.History | Sequence[str] | None) -> History | None:
    """Makes a history from columns or from item ids alone."""
    if history is None:
        return None
    columns = vars(history) if isinstance(history, answers.History) else {"item_ids": history}
    return make_message(History, **{name: check_list(f"history.{name}", column) for name, column in columns.items()})


def make_filter(exclude: Iterable[str], allow: Iterable[str], any_categories: Iterable[str]) -> Filter:
    """Makes the limits on an answer."""
    return make_message(
        Filter,
        exclude_item_ids=check_list("exclude", exclude),
        allow_item_ids=check_list("allow", allow),
        any_categories=check_list("any_categories", any_categories),
    )


def make_event(event: answers.Event) -> Event:
    """Makes an event; one whose id is None gets a random one, so that recording it twice stores it once."""
    return make_message(Event, **vars(event) | ({"event_id": uuid4().hex} if event.event_id is None else {}))


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
