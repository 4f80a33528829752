"""Describes every call once, as request, reader and retry safety; the sync and the asyncio client only carry them out.

Every description takes `timeout`: seconds for the whole call, tries and waits between them included; None: the
client's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from honeyguide import answers
from honeyguide.client import messages
from honeyguide.client.errors import InvalidArgumentError
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2

__all__ = [
    "Call",
    "Pages",
    "delete_user",
    "events",
    "load_model",
    "model",
    "models",
    "pipelines",
    "plugins",
    "rank",
    "recommend",
    "record",
    "record_event",
    "similar_items",
    "stream_options",
    "unload_model",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call to carry out."""

    rpc: str
    """The rpc's name, such as "Recommend"."""
    request: Message
    read: Callable[[Any], T]
    """Makes the caller's answer of the response message."""
    timeout: float | None
    """Seconds; None: the client's."""
    safe: bool = True
    """Whether carrying it out twice does no more than once, so that it may be tried again."""


@dataclass(frozen=True)
class Pages(Generic[T]):
    """A list that comes in pages."""

    page: Callable[[str], Call[tuple[Iterable[T], str]]]
    """Describes the call for a page token ("": the first page); its answer is the page and the next token."""


def recommend(
    user_id: str | None = None,
    *,
    history: answers.History | Sequence[str] | None = None,
    k: int = 10,
    pipeline: str = "",
    drop_seen: bool | None = None,
    exclude: Iterable[str] = (),
    allow: Iterable[str] = (),
    any_categories: Iterable[str] = (),
    request_time_ms: int = 0,
    explain: bool = False,
    timeout: float | None = None,
) -> Call[answers.Recommendations]:
    """Recommends up to k items to a user, to a history, or to both together.

    A user the server does not know, without history, gets popular items. `drop_seen=None` leaves it to the pipeline;
    `exclude`, `allow` and `any_categories` limit the answer; `request_time_ms` is the moment
    the answer is for (0: the server's clock).
    """
    request = recommender_service_pb2.RecommendRequest(
        user_id=user_id,
        history=messages.history_message(history),
        k=k,
        pipeline=pipeline,
        drop_seen=drop_seen,
        filter=messages.filter_message(exclude, allow, any_categories),
        request_time_ms=request_time_ms,
        explain=explain,
    )
    return Call("Recommend", request, _recommendations, timeout)


def rank(
    item_ids: Iterable[str],
    *,
    user_id: str | None = None,
    history: answers.History | Sequence[str] | None = None,
    pipeline: str = "",
    request_time_ms: int = 0,
    timeout: float | None = None,
) -> Call[answers.Ranking]:
    """Scores the caller's own candidates (1–1,000) for one user, best first."""
    request = recommender_service_pb2.RankRequest(
        user_id=user_id,
        history=messages.history_message(history),
        item_ids=messages.ids("item_ids", item_ids),
        pipeline=pipeline,
        request_time_ms=request_time_ms,
    )
    return Call("Rank", request, _ranking, timeout)


def similar_items(
    item_id: str,
    *,
    k: int = 10,
    pipeline: str = "",
    exclude: Iterable[str] = (),
    allow: Iterable[str] = (),
    any_categories: Iterable[str] = (),
    timeout: float | None = None,
) -> Call[answers.SimilarItems]:
    """Lists the k items nearest to one item, best first."""
    request = recommender_service_pb2.SimilarItemsRequest(
        item_id=item_id, k=k, pipeline=pipeline, filter=messages.filter_message(exclude, allow, any_categories)
    )
    return Call("SimilarItems", request, _similar_items, timeout)


def record(events: Iterable[answers.Event], *, timeout: float | None = None) -> Call[answers.Recorded]:
    """Records 1–1,000 events; when it returns, every accepted event is on disk and counts in the next answer.

    It is tried again only when every event has an id; events whose id is None get one, so that is the rule.
    """
    return _record(events, _recorded, timeout)


def record_event(
    user_id: str,
    item_id: str,
    *,
    event_type: str = "",
    time_ms: int = 0,
    dwell_seconds: float | None = None,
    clicks: float | None = None,
    quantity: float | None = None,
    value: float | None = None,
    event_id: str | None = None,
    request_id: str = "",
    timeout: float | None = None,
) -> Call[bool]:
    """Records one event; True: it is on disk, False: its id was stored before.

    Raises:
        InvalidArgumentError: the event breaks a rule.
    """
    event = answers.Event(
        user_id, item_id, event_type, time_ms, dwell_seconds, clicks, quantity, value, event_id, request_id
    )
    return _record([event], _one_recorded, timeout)


def events(user_id: str, *, page_size: int = 100, timeout: float | None = None) -> Pages[answers.Event]:
    """Lists one user's recorded events, newest first; `timeout` holds for each page of `page_size` (1–1,000)."""

    def page(token: str) -> Call[tuple[Iterable[answers.Event], str]]:
        request = event_service_pb2.ListEventsRequest(user_id=user_id, page_size=page_size, page_token=token)
        return Call("ListEvents", request, partial(_page, "events", messages.event), timeout)

    return Pages(page)


def delete_user(user_id: str, *, timeout: float | None = None) -> Call[int]:
    """Forgets one user; gives how many events the try that was answered deleted."""
    request = event_service_pb2.DeleteUserRequest(user_id=user_id)
    return Call("DeleteUser", request, lambda response: int(response.deleted_events), timeout)


def models(*, timeout: float | None = None) -> Pages[answers.Model]:
    """Lists the bundles of the server's repository, by name, then newest version first."""
    return _pages("ListModels", model_service_pb2.ListModelsRequest, "models", messages.model, timeout)


def model(name: str, version: int = 0, *, timeout: float | None = None) -> Call[answers.Model]:
    """Describes one bundle; version 0: the one that serves, or the newest when none does."""
    request = model_service_pb2.GetModelRequest(name=name, version=version)
    return Call("GetModel", request, lambda response: messages.model(response.model), timeout)


def load_model(name: str, version: int = 0, *, timeout: float | None = 60.0) -> Call[answers.LoadedModel]:
    """Loads a bundle and swaps it in without a failed call; version 0: the newest."""
    request = model_service_pb2.LoadModelRequest(name=name, version=version)
    return Call("LoadModel", request, _loaded, timeout, safe=False)


def unload_model(name: str, *, timeout: float | None = None) -> Call[int]:
    """Stops serving a model; gives the version that served until now."""
    request = model_service_pb2.UnloadModelRequest(name=name)
    return Call("UnloadModel", request, lambda response: int(response.version), timeout, safe=False)


def pipelines(*, timeout: float | None = None) -> Pages[answers.Pipeline]:
    """Lists the pipelines, the default first."""
    return _pages("ListPipelines", model_service_pb2.ListPipelinesRequest, "pipelines", messages.pipeline, timeout)


def plugins(*, timeout: float | None = None) -> Pages[answers.Plugin]:
    """Lists the server's plugins, with the reason of each that failed to load."""
    return _pages("ListPlugins", model_service_pb2.ListPluginsRequest, "plugins", messages.plugin, timeout)


def stream_options(
    *,
    k: int = 10,
    pipeline: str = "",
    drop_seen: bool | None = None,
    exclude: Iterable[str] = (),
    allow: Iterable[str] = (),
    any_categories: Iterable[str] = (),
    request_time_ms: int = 0,
    required_models: Sequence[answers.ModelVersion] = (),
    titles: bool = False,
) -> recommender_service_pb2.RecommendStreamRequest:
    """Makes the first message of a batch stream."""
    options = recommender_service_pb2.StreamOptions(
        k=k,
        pipeline=pipeline,
        drop_seen=drop_seen,
        filter=messages.filter_message(exclude, allow, any_categories),
        request_time_ms=request_time_ms,
        include_titles=titles,
    )
    for pinned in required_models:
        options.required_models.add(name=pinned.name, version=pinned.version)
    return recommender_service_pb2.RecommendStreamRequest(options=options)


def _pages(
    rpc: str, request: Callable[..., Message], field: str, read: Callable[[Any], T], timeout: float | None
) -> Pages[T]:
    """Describes a list that is asked for without a filter."""
    return Pages(lambda token: Call(rpc, request(page_token=token), partial(_page, field, read), timeout))


def _page(field: str, read: Callable[[Any], T], response: Any) -> tuple[Iterable[T], str]:
    return [read(entry) for entry in getattr(response, field)], response.next_page_token


def _record(events: Iterable[answers.Event], read: Callable[[Any], T], timeout: float | None) -> Call[T]:
    request = event_service_pb2.RecordEventsRequest(events=map(messages.event_message, events))
    return Call("RecordEvents", request, read, timeout, safe=all(event.event_id for event in request.events))


def _recommendations(response: recommender_service_pb2.RecommendResponse) -> answers.Recommendations:
    return answers.Recommendations(
        items=tuple(map(messages.item, response.items)),
        request_id=response.request_id,
        shortfall=response.shortfall,
        unknown_history_items=response.unknown_history_items,
        models=tuple(map(messages.model_version, response.models)),
        user_state=messages.user_state(response.user_state),
        degraded=response.degraded,
        degraded_reasons=messages.degraded_reasons(response.degraded_reasons),
    )


def _ranking(response: recommender_service_pb2.RankResponse) -> answers.Ranking:
    return answers.Ranking(
        items=tuple(map(messages.item, response.items)),
        request_id=response.request_id,
        unknown_item_ids=tuple(response.unknown_item_ids),
        unknown_history_items=response.unknown_history_items,
        models=tuple(map(messages.model_version, response.models)),
        user_state=messages.user_state(response.user_state),
        degraded=response.degraded,
        degraded_reasons=messages.degraded_reasons(response.degraded_reasons),
    )


def _similar_items(response: recommender_service_pb2.SimilarItemsResponse) -> answers.SimilarItems:
    items = tuple(map(messages.item, response.items))
    return answers.SimilarItems(items, response.request_id, response.shortfall, messages.model_version(response.model))


def _recorded(response: event_service_pb2.RecordEventsResponse) -> answers.Recorded:
    rejected = (answers.RejectedEvent(one.index, messages.row_failure(one.error)) for one in response.rejected)
    return answers.Recorded(response.accepted, response.duplicates, tuple(rejected))


def _one_recorded(response: event_service_pb2.RecordEventsResponse) -> bool:
    for rejected in response.rejected:
        error = messages.row_failure(rejected.error)
        raise InvalidArgumentError(error.message, reason=error.reason, field=error.field)
    return response.accepted == 1


def _loaded(response: model_service_pb2.LoadModelResponse) -> answers.LoadedModel:
    return answers.LoadedModel(messages.model(response.model), response.previous_version)
