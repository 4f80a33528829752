"""Answers in this process what a server answers over the network: same words, same checks, same answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

from honeyguide import answers
from honeyguide.sdk.errors import ConfigError, HoneyguideError, ItemNotFound, Unavailable
from honeyguide.sdk.host import PluginHost
from honeyguide.server.api import validation
from honeyguide.server.api.event_service import EventServicer
from honeyguide.server.api.interceptor import to_row_error
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.local.translation import (
    check_list,
    convert_failure,
    convert_fields,
    convert_items,
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
from honeyguide.v1.event_service_pb2 import DeleteUserRequest, RecordEventsRequest
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

    def __init__(self, settings: Settings, plugins: PluginHost | None = None, *, with_events: bool = True) -> None:
        """Loads the newest good version of every model.

        Args:
            settings: a server's; those of ports, queues and logs mean nothing here.
            plugins: None: all that are installed.
            with_events: whether the users' events are read from the settings' file, and recorded there.

        Raises `ConfigError` saying what to do where a part cannot be had.
        """
        plugins = plugins or PluginHost.load(strict=settings.strict_plugins)
        runtime, metrics = Runtime.detect(settings.threads), Metrics()
        repository = Repository(settings.repository, plugins, runtime, cache_users=settings.state_cache_users)
        self._closed = False
        with contextlib.ExitStack() as parts:
            store = SqliteEventStore(settings.events) if with_events else None
            if store is not None:
                parts.callback(store.close)
            repository.load_newest()
            self._pipelines = Pipelines(settings, plugins, repository, store, metrics)
            self._executor = runtime.executor()  # its thread is set up for the searches
            parts.callback(self._executor.shutdown)
            self._parts = parts.pop_all()

        async def forget(user_id: str) -> None:
            repository.forget(user_id)

        self._events = None if store is None else EventServicer(store, metrics, self._executor, forget)

    def recommend(
        self,
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
    ) -> answers.Recommendations:
        """Recommends up to k items to a user, to a history, or to both together.

        A user without stored events, and without history, gets popular items. `drop_seen=None` leaves it to the
        pipeline; `exclude`, `allow` and `any_categories` limit the answer; `request_time_ms` is the moment the answer
        is for, 0: now.
        """
        request = make_message(
            RecommendRequest,
            user_id=user_id,
            history=make_history(history),
            k=k,
            drop_seen=drop_seen,
            filter=make_filter(exclude, allow, any_categories),
            request_time_ms=request_time_ms,
            explain=explain,
        )
        query = validation.recommend_query(request)
        (answer,) = self._compute(self._pipelines.get(pipeline).recommend, [query])
        return answers.Recommendations(
            shortfall=query.k - len(answer.item_ids), items=convert_items(answer), **convert_fields(answer)
        )

    def recommend_batch(
        self,
        users: Iterable[answers.UserRow | str],
        *,
        k: int = 10,
        pipeline: str = "",
        drop_seen: bool | None = None,
        exclude: Iterable[str] = (),
        allow: Iterable[str] = (),
        any_categories: Iterable[str] = (),
        request_time_ms: int = 0,
        titles: bool = False,
    ) -> answers.BatchAnswer:
        """Recommends to many users at once; a bare string is a user id, and a user who is wrong fails alone.

        All are answered by the same versions, as many computed together as the setting ``max_batch_rows`` says. The
        answer is that to one batch of `Client.recommend_stream`, of as many users as there are.
        """
        options = make_message(
            StreamOptions,
            k=k,
            drop_seen=drop_seen,
            filter=make_filter(exclude, allow, any_categories),
            request_time_ms=request_time_ms,
        )
        defaults = validation.stream_defaults(options)
        served = self._pipelines.get(pipeline)
        rows: list[answers.UserRow] = []
        queries: list[RecommendQuery] = []
        failures: dict[int, answers.RowFailure] = {}
        for place, user in enumerate(check_list("users", users)):
            row = answers.UserRow(user) if isinstance(user, str) else user
            rows.append(row)
            try:
                message = make_message(UserRow, user_id=row.user_id, history=make_history(row.history))
                queries.append(validation.row_query(message, defaults, at_own_time=not request_time_ms))
            except HoneyguideError as error:  # boundary: one user; the others go on
                failures[place] = convert_failure(to_row_error(error))
        results = self._compute(served.recommend, queries)
        models = convert_models(results[0].models if results else served.plan().models)
        given = iter(results)
        ranked = (
            failures[place] if place in failures else convert_row(next(given), row.user_id, k, titles=titles)
            for place, row in enumerate(rows)
        )
        return answers.BatchAnswer(sequence=0, models=models, rows=tuple(ranked), request_id=uuid4().hex)

    def rank(
        self,
        item_ids: Iterable[str],
        *,
        user_id: str | None = None,
        history: answers.History | Sequence[str] | None = None,
        pipeline: str = "",
        request_time_ms: int = 0,
    ) -> answers.Ranking:
        """Scores the caller's own candidates (1–1,000) for one user, best first."""
        request = make_message(
            RankRequest,
            user_id=user_id,
            history=make_history(history),
            item_ids=check_list("item_ids", item_ids),
            request_time_ms=request_time_ms,
        )
        query = validation.rank_query(request)
        (answer,) = self._compute(self._pipelines.get(pipeline).rank, [query])
        return answers.Ranking(
            unknown_item_ids=answer.unknown_item_ids, items=convert_items(answer), **convert_fields(answer)
        )

    def similar_items(
        self,
        item_id: str,
        *,
        k: int = 10,
        pipeline: str = "",
        exclude: Iterable[str] = (),
        allow: Iterable[str] = (),
        any_categories: Iterable[str] = (),
    ) -> answers.SimilarItems:
        """Lists the k items nearest to one item, best first; raises `ItemNotFound`."""
        request = make_message(
            SimilarItemsRequest, item_id=item_id, k=k, filter=make_filter(exclude, allow, any_categories)
        )
        query = validation.similar_query(request)
        (answer,) = self._compute(self._pipelines.get(pipeline).similar, [query])
        if isinstance(answer, ItemNotFound):
            raise answer
        (model,) = convert_models(answer.models)
        return answers.SimilarItems(
            items=convert_items(answer), request_id=uuid4().hex, shortfall=query.k - len(answer.item_ids), model=model
        )

    def record(self, events: Iterable[answers.Event]) -> answers.Recorded:
        """Records 1–1,000 events; when it returns, every accepted event is on disk and counts in the next answer.

        Raises `ConfigError` where the repository was opened without ``events``.
        """
        request = make_message(RecordEventsRequest, events=map(make_event, events))
        response = self._run(self._store().RecordEvents(request, None))
        rejected = (answers.RejectedEvent(one.index, convert_failure(one.error)) for one in response.rejected)
        return answers.Recorded(response.accepted, response.duplicates, tuple(rejected))

    def delete_user(self, user_id: str) -> int:
        """Forgets one user; returns how many events were deleted. Raises as `record` does."""
        request = make_message(DeleteUserRequest, user_id=user_id)
        return int(self._run(self._store().DeleteUser(request, None)).deleted_events)

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

    def _store(self) -> Any:
        """Returns the servicer of events, which needs no context: it is asked in this process."""
        if self._events is None:
            raise ConfigError("the repository was opened without events: open it with events=PATH to record some")
        return self._events

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        # In the executor: a notebook runs an event loop in this thread already.
        result: T = self._compute(asyncio.run, coroutine)
        return result

    def _compute(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._closed:
            raise Unavailable("the repository is closed: open it again")
        result: T = self._executor.submit(function, *arguments).result()
        return result
