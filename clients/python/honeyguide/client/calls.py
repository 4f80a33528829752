"""Describes every call once, as request, reader and retry safety; the sync and the asyncio client only carry them out.

Every description takes `timeout`: seconds for the whole call, tries and waits between them included; infinity: no
limit; None: the client's. An id may be given as a whole number, a moment as a datetime with a time zone:
`answers.arguments` says what is taken for what it plainly means; all else raises `InputError` with field and remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from honeyguide import answers
from honeyguide.answers.arguments import (
    Id,
    Moment,
    as_event,
    as_events,
    as_flag,
    as_id,
    as_ids,
    as_moment,
    as_percents,
    as_text,
    as_versions,
    as_whole,
    optional,
)
from honeyguide.client import messages
from honeyguide.client.errors import from_row
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
    "set_traffic",
    "similar_items",
    "stream_options",
    "unload_model",
    "users",
]

T = TypeVar("T")

LOAD_SECONDS = 60.0
"""For loading a bundle, unless the call says otherwise."""


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
    kind: type[T]
    """Of the entries."""


def recommend(
    user_id: Id | None = None,
    *,
    history: answers.History | Sequence[Id] | None = None,
    k: int = 10,
    pipeline: str = "",
    drop_seen: bool | None = None,
    exclude: Iterable[Id] = (),
    allow: Iterable[Id] = (),
    any_categories: Iterable[Id] = (),
    ignore_category_case: bool = False,
    request_time_ms: Moment = 0,
    explain: bool = False,
    timeout: float | None = None,
) -> Call[answers.Recommendations]:
    """Recommends up to k items to a user, to a history, or to both together.

    A user the server does not know, without history, gets popular items. `drop_seen=None` leaves it to the pipeline;
    `exclude`, `allow` and `any_categories` limit the answer, the last without regard to case on request; a category
    that the catalogue lacks is named in the answer's `unknown_categories`. `request_time_ms` is the moment the answer
    is for (0: the server's clock).
    """
    request = recommender_service_pb2.RecommendRequest(
        user_id=optional(as_id, "user_id", user_id),
        history=messages.history_message(history),
        k=as_whole("k", k),
        pipeline=as_text("pipeline", pipeline),
        drop_seen=optional(as_flag, "drop_seen", drop_seen),
        filter=messages.filter_message(exclude, allow, any_categories, ignore_category_case),
        request_time_ms=as_moment("request_time_ms", request_time_ms),
        explain=as_flag("explain", explain),
    )
    return Call("Recommend", request, _recommendations, timeout)


def rank(
    item_ids: Iterable[Id],
    *,
    user_id: Id | None = None,
    history: answers.History | Sequence[Id] | None = None,
    pipeline: str = "",
    request_time_ms: Moment = 0,
    timeout: float | None = None,
) -> Call[answers.Ranking]:
    """Scores the caller's own candidates (1–1,000) for one user, best first."""
    request = recommender_service_pb2.RankRequest(
        user_id=optional(as_id, "user_id", user_id),
        history=messages.history_message(history),
        item_ids=as_ids("item_ids", item_ids),
        pipeline=as_text("pipeline", pipeline),
        request_time_ms=as_moment("request_time_ms", request_time_ms),
    )
    return Call("Rank", request, _ranking, timeout)


def similar_items(
    item_id: Id,
    *,
    k: int = 10,
    pipeline: str = "",
    exclude: Iterable[Id] = (),
    allow: Iterable[Id] = (),
    any_categories: Iterable[Id] = (),
    ignore_category_case: bool = False,
    timeout: float | None = None,
) -> Call[answers.SimilarItems]:
    """Lists the k items nearest to one item, best first."""
    request = recommender_service_pb2.SimilarItemsRequest(
        item_id=as_id("item_id", item_id),
        k=as_whole("k", k),
        pipeline=as_text("pipeline", pipeline),
        filter=messages.filter_message(exclude, allow, any_categories, ignore_category_case),
    )
    return Call("SimilarItems", request, _similar_items, timeout)


def record(events: Iterable[answers.Event], *, timeout: float | None = None) -> Call[answers.Recorded]:
    """Records 1–1,000 events; when it returns, every accepted event is on disk and counts in the next answer.

    It is tried again only when every event has an id; events whose id is None get one, so that is the rule.
    """
    return _record(as_events(events), _recorded, timeout)


def record_event(
    user_id: Id,
    item_id: Id,
    *,
    event_type: str = "",
    time_ms: Moment = 0,
    dwell_seconds: float | None = None,
    clicks: float | None = None,
    quantity: float | None = None,
    value: float | None = None,
    event_id: Id | None = None,
    request_id: str = "",
    timeout: float | None = None,
) -> Call[bool]:
    """Records one event; True: it is on disk, False: its id was stored before.

    Raises:
        InvalidArgumentError: the event breaks a rule.
        OverCapacityError: the caller has recorded as many of this user today as it may (RATE_EXCEEDED).
    """
    event = answers.Event(
        as_id("user_id", user_id),
        as_id("item_id", item_id),
        event_type,
        as_moment("time_ms", time_ms),
        dwell_seconds,
        clicks,
        quantity,
        value,
        optional(as_id, "event_id", event_id),
        request_id,
    )
    return _record([as_event("", event)], _one_recorded, timeout)


def events(user_id: Id, *, page_size: int = 100, timeout: float | None = None) -> Pages[answers.Event]:
    """Lists one user's recorded events, newest first; `timeout` holds for each page of `page_size` (1–1,000)."""
    user, size = as_id("user_id", user_id), as_whole("page_size", page_size)

    def page(token: str) -> Call[tuple[Iterable[answers.Event], str]]:
        request = event_service_pb2.ListEventsRequest(user_id=user, page_size=size, page_token=token)
        return Call("ListEvents", request, partial(_page, "events", messages.event), timeout)

    return Pages(page, answers.Event)


def users(*, page_size: int = 1000, timeout: float | None = None) -> Pages[str]:
    """Lists the ids of the users of whom events are recorded, ordered; `timeout` holds for each page (1–1,000)."""
    size = as_whole("page_size", page_size)

    def page(token: str) -> Call[tuple[Iterable[str], str]]:
        request = event_service_pb2.ListUsersRequest(page_size=size, page_token=token)
        return Call("ListUsers", request, partial(_page, "user_ids", str), timeout)

    return Pages(page, str)


def delete_user(user_id: Id, *, timeout: float | None = None) -> Call[int]:
    """Forgets one user; gives how many events the try that was answered deleted."""
    request = event_service_pb2.DeleteUserRequest(user_id=as_id("user_id", user_id))
    return Call("DeleteUser", request, lambda response: int(response.deleted_events), timeout)


def models(*, timeout: float | None = None) -> Pages[answers.Model]:
    """Lists the bundles of the server's repository, by name, then newest version first."""
    return _pages("ListModels", model_service_pb2.ListModelsRequest, "models", messages.model, answers.Model, timeout)


def model(name: str, version: int = 0, *, timeout: float | None = None) -> Call[answers.Model]:
    """Describes one bundle; version 0: the one that serves, or the newest when none does."""
    request = model_service_pb2.GetModelRequest(name=as_text("name", name), version=as_whole("version", version))
    return Call("GetModel", request, lambda response: messages.model(response.model), timeout)


def load_model(
    name: str, version: int = 0, *, digest: str = "", timeout: float | None = None
) -> Call[answers.LoadedModel]:
    """Loads a bundle and swaps it in without a failed call; version 0: the newest; `timeout` None: 60 seconds.

    With a `digest`, as `honeyguide export` prints it, it is that very bundle or none.
    """
    request = model_service_pb2.LoadModelRequest(
        name=as_text("name", name), version=as_whole("version", version), digest=as_text("digest", digest)
    )
    return Call("LoadModel", request, _loaded, LOAD_SECONDS if timeout is None else timeout, safe=False)


def unload_model(name: str, *, timeout: float | None = None) -> Call[int]:
    """Stops serving a model; gives the version that served until now."""
    request = model_service_pb2.UnloadModelRequest(name=as_text("name", name))
    return Call("UnloadModel", request, lambda response: int(response.version), timeout, safe=False)


def pipelines(*, timeout: float | None = None) -> Pages[answers.Pipeline]:
    """Lists the pipelines, the default first."""
    request = model_service_pb2.ListPipelinesRequest
    return _pages("ListPipelines", request, "pipelines", messages.pipeline, answers.Pipeline, timeout)


def set_traffic(
    pipeline: str = "",
    arms: Mapping[str, float] | None = None,
    *,
    shadows: Iterable[str] = (),
    previous: bool = False,
    timeout: float | None = None,
) -> Call[answers.ChangedTraffic]:
    """Sets which pipelines answer for one ("": the default): percent of users by pipeline, and who is asked besides.

    Without ``arms`` the pipeline answers everybody itself. ``previous`` goes back to what held before the last change.
    """
    request = model_service_pb2.SetTrafficRequest(
        pipeline=as_text("pipeline", pipeline), previous=as_flag("previous", previous)
    )
    if not previous:
        percents = optional(as_percents, "arms", arms) or {}
        given = (model_service_pb2.Arm(pipeline=name, percent=percent) for name, percent in percents.items())
        request.traffic.CopyFrom(model_service_pb2.Traffic(arms=given, shadows=as_ids("shadows", shadows)))

    def read(response: model_service_pb2.SetTrafficResponse) -> answers.ChangedTraffic:
        return answers.ChangedTraffic(messages.traffic(response.traffic), messages.traffic(response.previous))

    return Call("SetTraffic", request, read, timeout, safe=False)


def plugins(*, timeout: float | None = None) -> Pages[answers.Plugin]:
    """Lists the server's plugins, with the reason of each that failed to load."""
    request = model_service_pb2.ListPluginsRequest
    return _pages("ListPlugins", request, "plugins", messages.plugin, answers.Plugin, timeout)


def stream_options(
    *,
    k: int = 10,
    pipeline: str = "",
    drop_seen: bool | None = None,
    exclude: Iterable[Id] = (),
    allow: Iterable[Id] = (),
    any_categories: Iterable[Id] = (),
    ignore_category_case: bool = False,
    request_time_ms: Moment = 0,
    required_models: Sequence[answers.ModelVersion] = (),
    titles: bool = False,
) -> recommender_service_pb2.RecommendStreamRequest:
    """Makes the first message of a batch stream."""
    options = recommender_service_pb2.StreamOptions(
        k=as_whole("k", k),
        pipeline=as_text("pipeline", pipeline),
        drop_seen=optional(as_flag, "drop_seen", drop_seen),
        filter=messages.filter_message(exclude, allow, any_categories, ignore_category_case),
        request_time_ms=as_moment("request_time_ms", request_time_ms),
        include_titles=as_flag("titles", titles),
    )
    for pinned in as_versions("required_models", required_models):
        options.required_models.add(name=pinned.name, version=pinned.version)
    return recommender_service_pb2.RecommendStreamRequest(options=options)


def _pages(
    rpc: str,
    request: Callable[..., Message],
    field: str,
    read: Callable[[Any], T],
    kind: type[T],
    timeout: float | None,
) -> Pages[T]:
    """Describes a list that is asked for without a filter."""
    return Pages(lambda token: Call(rpc, request(page_token=token), partial(_page, field, read), timeout), kind)


def _page(field: str, read: Callable[[Any], T], response: Any) -> tuple[Iterable[T], str]:
    return [read(entry) for entry in getattr(response, field)], response.next_page_token


def _record(events: Iterable[Mapping[str, Any]], read: Callable[[Any], T], timeout: float | None) -> Call[T]:
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
        arm=response.arm,
        unknown_categories=tuple(response.unknown_categories),
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
        arm=response.arm,
    )


def _similar_items(response: recommender_service_pb2.SimilarItemsResponse) -> answers.SimilarItems:
    items = tuple(map(messages.item, response.items))
    return answers.SimilarItems(
        items,
        response.request_id,
        response.shortfall,
        messages.model_version(response.model),
        tuple(response.unknown_categories),
    )


def _recorded(response: event_service_pb2.RecordEventsResponse) -> answers.Recorded:
    rejected = (answers.RejectedEvent(one.index, messages.row_failure(one.error)) for one in response.rejected)
    return answers.Recorded(response.accepted, response.duplicates, tuple(rejected))


def _one_recorded(response: event_service_pb2.RecordEventsResponse) -> bool:
    for rejected in response.rejected:
        raise from_row(messages.row_failure(rejected.error))
    return response.accepted == 1


def _loaded(response: model_service_pb2.LoadModelResponse) -> answers.LoadedModel:
    return answers.LoadedModel(messages.model(response.model), response.previous_version)
