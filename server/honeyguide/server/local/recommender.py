"""Answers in this process what a server answers over the network: same words, same checks, same answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

from honeyguide import answers
from honeyguide.answers.arguments import (
    Id,
    Moment,
    as_event,
    as_events,
    as_flag,
    as_history,
    as_id,
    as_ids,
    as_moment,
    as_text,
    as_user_row,
    as_users,
    as_whole,
    optional,
)
from honeyguide.answers.tables import Listing
from honeyguide.sdk.errors import ConfigError, HoneyguideError, ItemNotFound, Unavailable
from honeyguide.sdk.host import PluginHost
from honeyguide.server.api import validation
from honeyguide.server.api.event_service import EventRecorder, EventServicer, to_stored
from honeyguide.server.api.model_service import ModelServicer
from honeyguide.server.api.peers import Alone
from honeyguide.server.api.statuses import to_row_error
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.bundles.trust import Trust
from honeyguide.server.cold_items.placing import ColdItems
from honeyguide.server.cold_items.store import ColdItemStore
from honeyguide.server.events.opening import open_store
from honeyguide.server.local.translation import (
    checked,
    convert_event,
    convert_failure,
    convert_fields,
    convert_items,
    convert_model,
    convert_models,
    convert_row,
    make_event,
    make_filter,
    make_history,
    make_message,
)
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.queries import RecommendQuery
from honeyguide.server.settings import Settings
from honeyguide.v1.event_service_pb2 import (
    DeleteUserRequest,
    ListEventsRequest,
    ListUsersRequest,
    RecordEventsRequest,
    RecordEventsResponse,
)
from honeyguide.v1.model_service_pb2 import ListModelsRequest
from honeyguide.v1.recommender_service_pb2 import (
    RankRequest,
    RecommendRequest,
    SimilarItemsRequest,
    StreamOptions,
    UserRow,
)

__all__ = ["LocalRecommender"]

T = TypeVar("T")


class LocalRecommender:
    """Repository of bundles, open in this process; may be shared by threads, which are answered one after another.

    Made by `honeyguide.server.open_repository`. Its methods have the parameters and answers of those of
    `honeyguide.client.Client`, but for `timeout`, and raise what a server tells a client: the errors of
    `honeyguide.sdk.errors`.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: PluginHost | None = None,
        *,
        with_events: bool = True,
        with_cold_items: bool = True,
    ) -> None:
        """Loads the newest good version of every model.

        Args:
            settings: a server's; those of ports, queues and logs mean nothing here.
            plugins: None: all that are installed.
            with_events: whether the users' events are read from the settings' file, and recorded there.
            with_cold_items: whether items that were added are read from the settings' file, once, now.

        Raises `ConfigError` saying what to do where a part cannot be had.
        """
        plugins = plugins or PluginHost.load(strict=settings.strict_plugins)
        runtime, metrics = Runtime.detect(settings.threads, workers=1), Metrics()
        trust = Trust(settings.trusted_keys, settings.require_signature)
        cold_items = ColdItems(ColdItemStore(settings.cold_items), settings.max_cold_items)
        if with_cold_items:
            cold_items.refresh()
        repository = Repository(
            settings.repository,
            plugins,
            runtime,
            cache_users=settings.state_cache_users,
            trust=trust,
            ready=cold_items.add,
        )
        self._closed = False
        with contextlib.ExitStack() as parts:
            store = open_store(settings) if with_events else None
            if store is not None:
                parts.callback(store.close)
            repository.load_newest()
            self._pipelines = Pipelines(settings, plugins, repository, store, metrics, cold_items=cold_items)
            self._executor = ThreadPoolExecutor(1, "honeyguide-local", initializer=runtime.prepare_thread)
            parts.callback(self._executor.shutdown)
            self._parts = parts.pop_all()

        async def forget(user_id: str) -> None:
            repository.forget(user_id)

        async def changed() -> None:
            """Nobody loads or unloads here."""

        # An executor of their own: an rpc waits in the other one for what it reads from the disk.
        reads = ThreadPoolExecutor(1, "honeyguide-read")
        self._parts.callback(reads.shutdown)
        self._events = None if store is None else EventServicer(store, reads, forget)
        self._recorder = None if store is None else EventRecorder(store, metrics)
        self._models = ModelServicer(repository, self._pipelines, plugins, changed, Alone(), cold_items)

    @checked
    def recommend(
        self,
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
    ) -> answers.Recommendations:
        """Recommends up to k items to a user, to a history, or to both together.

        A user without stored events, and without history, gets popular items. `drop_seen=None` leaves it to the
        pipeline; `exclude`, `allow` and `any_categories` limit the answer, the last without regard to case on request;
        a category that the catalogue lacks is named in the answer's `unknown_categories`. `request_time_ms` is the
        moment the answer is for, 0: now.
        """
        request = make_message(
            RecommendRequest,
            user_id=optional(as_id, "user_id", user_id),
            history=make_history(optional(as_history, "history", history)),
            k=as_whole("k", k),
            drop_seen=optional(as_flag, "drop_seen", drop_seen),
            filter=make_filter(exclude, allow, any_categories, ignore_category_case),
            request_time_ms=as_moment("request_time_ms", request_time_ms),
            explain=as_flag("explain", explain),
        )
        query = validation.recommend_query(request)
        served, arm = self._pipelines.answering(as_text("pipeline", pipeline), query.user.user_id or uuid4().hex)
        (answer,) = self._compute(served.recommend, [query])
        return answers.Recommendations(
            shortfall=query.k - len(answer.item_ids),
            items=convert_items(answer),
            unknown_categories=answer.unknown_categories,
            **convert_fields(answer) | {"arm": arm},
        )

    @checked
    def recommend_batch(
        self,
        users: Iterable[answers.UserRow | Id],
        *,
        k: int = 10,
        pipeline: str = "",
        drop_seen: bool | None = None,
        exclude: Iterable[Id] = (),
        allow: Iterable[Id] = (),
        any_categories: Iterable[Id] = (),
        ignore_category_case: bool = False,
        request_time_ms: Moment = 0,
        titles: bool = False,
    ) -> answers.BatchAnswer:
        """Recommends to many users at once; a bare string is a user id, and a user who is wrong fails alone.

        All are answered by the same versions, as many computed together as the setting ``max_batch_rows`` says. The
        answer is that to one batch of `Client.recommend_stream`, of as many users as there are.
        """
        options = make_message(
            StreamOptions,
            k=as_whole("k", k),
            drop_seen=optional(as_flag, "drop_seen", drop_seen),
            filter=make_filter(exclude, allow, any_categories, ignore_category_case),
            request_time_ms=as_moment("request_time_ms", request_time_ms),
        )
        with_titles = as_flag("titles", titles)
        defaults = validation.stream_defaults(options)
        served = self._pipelines.get(as_text("pipeline", pipeline))
        user_ids: list[str | None] = []
        queries: list[RecommendQuery] = []
        failures: dict[int, answers.RowFailure] = {}
        for place, user in enumerate(as_users("users", users)):
            user_id, columns = as_user_row(f"users[{place}]", user)
            user_ids.append(user_id)
            try:
                message = make_message(UserRow, user_id=user_id, history=make_history(columns))
                queries.append(validation.row_query(message, defaults, at_own_time=not request_time_ms))
            except HoneyguideError as error:  # boundary: one user; the others go on
                failures[place] = convert_failure(to_row_error(error))
        results = self._compute(served.recommend, queries)
        models = convert_models(results[0].models if results else served.plan().models)
        given = iter(results)
        ranked = (
            failures[place] if place in failures else convert_row(next(given), user_id, defaults.k, titles=with_titles)
            for place, user_id in enumerate(user_ids)
        )
        return answers.BatchAnswer(
            sequence=0,
            models=models,
            rows=tuple(ranked),
            request_id=uuid4().hex,
            unknown_categories=results[0].unknown_categories if results else (),
        )

    @checked
    def rank(
        self,
        item_ids: Iterable[Id],
        *,
        user_id: Id | None = None,
        history: answers.History | Sequence[Id] | None = None,
        pipeline: str = "",
        request_time_ms: Moment = 0,
    ) -> answers.Ranking:
        """Scores the caller's own candidates (1–1,000) for one user, best first."""
        request = make_message(
            RankRequest,
            user_id=optional(as_id, "user_id", user_id),
            history=make_history(optional(as_history, "history", history)),
            item_ids=as_ids("item_ids", item_ids),
            request_time_ms=as_moment("request_time_ms", request_time_ms),
        )
        query = validation.rank_query(request)
        served, arm = self._pipelines.answering(as_text("pipeline", pipeline), query.user.user_id or uuid4().hex)
        (answer,) = self._compute(served.rank, [query])
        return answers.Ranking(
            unknown_item_ids=answer.unknown_item_ids,
            items=convert_items(answer),
            **convert_fields(answer) | {"arm": arm},
        )

    @checked
    def similar_items(
        self,
        item_id: Id,
        *,
        k: int = 10,
        pipeline: str = "",
        exclude: Iterable[Id] = (),
        allow: Iterable[Id] = (),
        any_categories: Iterable[Id] = (),
        ignore_category_case: bool = False,
    ) -> answers.SimilarItems:
        """Lists the k items nearest to one item, best first; raises `ItemNotFound`."""
        request = make_message(
            SimilarItemsRequest,
            item_id=as_id("item_id", item_id),
            k=as_whole("k", k),
            filter=make_filter(exclude, allow, any_categories, ignore_category_case),
        )
        query = validation.similar_query(request)
        (answer,) = self._compute(self._pipelines.get(as_text("pipeline", pipeline)).similar, [query])
        if isinstance(answer, ItemNotFound):
            raise answer
        (model,) = convert_models(answer.models)
        return answers.SimilarItems(
            items=convert_items(answer),
            request_id=uuid4().hex,
            shortfall=query.k - len(answer.item_ids),
            model=model,
            unknown_categories=answer.unknown_categories,
        )

    @checked
    def record(self, events: Iterable[answers.Event]) -> answers.Recorded:
        """Records 1–1,000 events; when it returns, every accepted event is on disk and counts in the next answer.

        Raises `ConfigError` where the repository was opened without ``events``.
        """
        request = make_message(RecordEventsRequest, events=map(make_event, as_events(events)))
        response = self._record(request)
        rejected = (answers.RejectedEvent(one.index, convert_failure(one.error)) for one in response.rejected)
        return answers.Recorded(response.accepted, response.duplicates, tuple(rejected))

    @checked
    def record_event(
        self,
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
    ) -> bool:
        """Records one event; True: it is on disk, False: its id was stored before. Raises as `record` does.

        An event that breaks a rule raises `InvalidArgument`.
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
        message = make_event(as_event("", event))
        to_stored(message, time.time_ns() // 1_000_000)  # raises what `RecordEvents` would report beside others
        response = self._record(RecordEventsRequest(events=[message]))
        return bool(response.accepted == 1)

    @checked
    def events(self, user_id: Id, *, page_size: int = 100) -> Iterator[answers.Event]:
        """Lists one user's recorded events, newest first. Raises as `record` does."""
        user, size = as_id("user_id", user_id), as_whole("page_size", page_size)
        request = make_message(ListEventsRequest, user_id=user, page_size=size)
        return (convert_event(event) for event in self._pages(self._store().ListEvents, request, "events"))

    @checked
    def users(self, *, page_size: int = 1000) -> Iterator[str]:
        """Lists the ids of the users of whom events are recorded, ordered. Raises as `record` does."""
        request = make_message(ListUsersRequest, page_size=as_whole("page_size", page_size))
        return self._pages(self._store().ListUsers, request, "user_ids")

    @checked
    def delete_user(self, user_id: Id) -> int:
        """Forgets one user; returns how many events were deleted. Raises as `record` does."""
        request = make_message(DeleteUserRequest, user_id=as_id("user_id", user_id))
        return int(self._run(self._store().DeleteUser, request).deleted_events)

    def models(self) -> list[answers.Model]:
        """Lists the bundles of the repository, by name, then newest version first."""
        messages = self._pages(self._models.ListModels, ListModelsRequest(), "models")
        return Listing(answers.Model, map(convert_model, messages))

    def close(self) -> None:
        """Ends the threads and closes the store of events; twice is once."""
        self._closed = True
        self._parts.close()

    def __enter__(self) -> LocalRecommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _record(self, request: RecordEventsRequest) -> RecordEventsResponse:
        self._store()
        if self._closed or self._recorder is None:
            raise Unavailable("the repository is closed: open it again")
        return self._recorder.record(request).result()

    def _store(self) -> Any:
        """Returns the servicer of events, which needs no context: it is asked in this process."""
        if self._events is None:
            raise ConfigError("the repository was opened without events: open it with events=PATH to record some")
        return self._events

    def _pages(self, rpc: Callable[[Any, Any], Coroutine[Any, Any, Any]], request: Any, field: str) -> Iterator[Any]:
        """Goes through a list page by page; the first is read at once, so that what is wrong is told at once."""
        response = self._run(rpc, request)

        def entries() -> Iterator[Any]:
            page = response
            yield from getattr(page, field)
            while page.next_page_token:
                request.page_token = page.next_page_token
                page = self._run(rpc, request)
                yield from getattr(page, field)

        return entries()

    def _run(self, rpc: Callable[[Any, Any], Coroutine[Any, Any, T]], request: Any) -> T:
        # In a thread of its own: a notebook runs an event loop in this one already.
        def ask() -> T:
            return asyncio.run(rpc(request, None))

        result: T = self._compute(ask)
        return result

    def _compute(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._closed:
            raise Unavailable("the repository is closed: open it again")
        result: T = self._executor.submit(function, *arguments).result()
        return result
