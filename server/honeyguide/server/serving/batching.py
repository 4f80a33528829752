"""Gathers the queries of many calls into batches: at once when idle, larger under load, never without bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, Literal, TypeVar

from honeyguide.sdk.errors import DeadlinePassed, ItemNotFound, OverCapacity, Unavailable
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.context import RequestContext
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.queries import Answer, RankQuery, RecommendQuery, SimilarQuery

__all__ = ["Batcher", "Queues"]

Query = TypeVar("Query")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Group(Generic[Query, Result]):
    """Queries of one call; they are computed together."""

    queries: Sequence[Query]
    deadline: float
    """On the loop's clock."""
    future: asyncio.Future[list[Result]]
    waits: bool = True
    """Whether its rows count as waiting."""


class Batcher(Generic[Query, Result]):
    """Queue before one function that computes batches. Rows are counted, not calls."""

    def __init__(
        self,
        compute: Callable[[list[Query]], list[Result]],
        executor: Executor,
        slots: asyncio.Semaphore,
        *,
        max_batch_rows: int,
        max_queue_rows: int,
        observe: Callable[[int, int], None] = lambda _batch, _waiting: None,
    ) -> None:
        """Starts its task; must be called on the event loop.

        Args:
            compute: answers each query, in order; called in the executor.
            executor: where it is called.
            slots: as many as the executor has threads; shared by all batchers of the executor, so that what waits
                waits here, where it can still be dropped.
            max_batch_rows: rows computed at once; a larger group goes alone.
            max_queue_rows: rows that may wait.
            observe: called with the rows of each batch and the rows that wait behind it.
        """
        self._compute, self._executor, self._slots, self._observe = compute, executor, slots, observe
        self._max_batch, self._max_queue = max_batch_rows, max_queue_rows
        self._waiting: deque[_Group[Query, Result]] = deque()
        self._waiting_rows = 0
        self._row_seconds = 0.001  # first guess; then a moving mean
        self._filled = asyncio.Event()
        self._drained = asyncio.Condition()
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False
        self._task = asyncio.get_running_loop().create_task(self._dispatch())

    async def submit(self, queries: Sequence[Query], deadline: float, *, patient: bool = False) -> list[Result]:
        """Returns the queries' results, in order.

        Args:
            queries: one call's, 1 or more.
            deadline: moment on the loop's clock after which nothing is computed for them.
            patient: whether to wait for room rather than to be refused. The patient fill half of the queue at most,
                so that single calls always find room beside them.

        Raises `OverCapacity` at once when the queue is full, `DeadlinePassed`, `Unavailable` when the server stops,
        and what ``compute`` raises.
        """
        loop = asyncio.get_running_loop()
        if patient:
            async with self._drained:
                await self._drained.wait_for(lambda: self._closed or self._has_room(len(queries), self._max_queue // 2))
        if self._closed:
            raise Unavailable("the server is stopping; try another one, or again later")
        if not self._has_room(len(queries), self._max_queue):
            raise OverCapacity(
                f"{self._waiting_rows} users wait already, {self._max_queue} may; try again later",
                retry_after=min(max(self._waiting_rows * self._row_seconds, 0.05), 5.0),
            )
        group = _Group[Query, Result](queries, deadline, loop.create_future())
        self._waiting.append(group)
        self._waiting_rows += len(queries)
        self._filled.set()
        try:
            return await group.future
        finally:
            if group.waits:  # cancelled in the queue: its room is free at once
                self._leave(group)

    async def close(self) -> None:
        """Refuses what waits, lets what runs finish."""
        self._closed = True
        self._task.cancel()
        await asyncio.gather(self._task, *self._running, return_exceptions=True)
        for group in self._waiting:
            if not group.future.done():
                group.future.set_exception(Unavailable("the server is stopping; try another one, or again later"))
        self._waiting.clear()
        async with self._drained:
            self._drained.notify_all()

    def _leave(self, group: _Group[Query, Result]) -> None:
        group.waits = False
        self._waiting_rows -= len(group.queries)

    def _has_room(self, rows: int, most: int) -> bool:
        return self._waiting_rows == 0 or self._waiting_rows + rows <= most

    async def _dispatch(self) -> None:
        """Hands a batch on whenever there are both queries and a free slot; while none is free, queries gather."""
        while True:
            await self._filled.wait()
            await self._slots.acquire()
            batch = self._take()
            if not batch:  # all of them were cancelled or expired: that made room, too
                self._slots.release()
                async with self._drained:
                    self._drained.notify_all()
                continue
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self) -> list[_Group[Query, Result]]:
        """Returns the next batch; drops the calls that nobody waits for any more."""
        now = asyncio.get_running_loop().time()
        batch: list[_Group[Query, Result]] = []
        rows = 0
        while self._waiting:
            group = self._waiting[0]
            if not group.future.done() and group.deadline <= now:
                group.future.set_exception(DeadlinePassed("the deadline passed while the request waited: allow more"))
            if not group.future.done():  # done: cancelled, or expired just now
                if batch and rows + len(group.queries) > self._max_batch:
                    break
                batch.append(group)
                rows += len(group.queries)
            self._waiting.popleft()
            if group.waits:
                self._leave(group)
        if not self._waiting:
            self._filled.clear()
        return batch

    async def _run(self, batch: list[_Group[Query, Result]]) -> None:
        queries = [query for group in batch for query in group.queries]
        self._observe(len(queries), self._waiting_rows)
        started = perf_counter()
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._executor, self._compute, queries)
        except Exception as error:  # boundary: whatever it is, the calls that wait get it
            for group in batch:
                if not group.future.done():
                    group.future.set_exception(error)
            return
        finally:
            self._slots.release()
            self._row_seconds += 0.1 * ((perf_counter() - started) / len(queries) - self._row_seconds)
            async with self._drained:
                self._drained.notify_all()
        first = 0
        for group in batch:
            if not group.future.done():
                group.future.set_result(results[first : first + len(group.queries)])
            first += len(group.queries)


class Queues:
    """Queues before the pipelines of one server: one for each pipeline and kind of query."""

    def __init__(
        self, pipelines: Pipelines, metrics: Metrics, executor: Executor, workers: int, *, max_queue_rows: int
    ) -> None:
        """Starts nothing yet; must be called on the event loop.

        Args:
            pipelines: compute the answers.
            metrics: where batches are counted.
            executor: where they are computed.
            workers: its threads.
            max_queue_rows: users that may wait for one pipeline.
        """
        self._pipelines, self._metrics, self._executor = pipelines, metrics, executor
        self._max_queue_rows = max_queue_rows
        self._slots = asyncio.Semaphore(workers)
        self._batchers: dict[tuple[str, str], Batcher[Any, Any]] = {}

    async def recommend(
        self, pipeline: str, queries: Sequence[RecommendQuery], context: RequestContext, *, patient: bool = False
    ) -> list[Answer]:
        """Answers queries, all from the same bundle; see `Batcher.submit`."""
        batcher = self._batcher(self._pipelines.get(pipeline), "recommend")
        answers: list[Answer] = await batcher.submit(queries, context.deadline, patient=patient)
        return answers

    async def rank(self, pipeline: str, query: RankQuery, context: RequestContext) -> Answer:
        """Scores the caller's candidates."""
        batcher = self._batcher(self._pipelines.get(pipeline), "rank")
        answers: list[Answer] = await batcher.submit([query], context.deadline)
        return answers[0]

    async def similar(self, pipeline: str, query: SimilarQuery, context: RequestContext) -> Answer:
        """Finds an item's neighbours; raises `ItemNotFound`."""
        batcher = self._batcher(self._pipelines.get(pipeline), "similar")
        answers: list[Answer | ItemNotFound] = await batcher.submit([query], context.deadline)
        if isinstance(answers[0], ItemNotFound):
            raise answers[0]
        return answers[0]

    async def forget(self, user_id: str) -> None:
        """Drops what the bundles keep of a user, who was deleted."""
        # Behind the batch that runs: it may have read the events before they went, and keep what they came to.
        await asyncio.get_running_loop().run_in_executor(self._executor, self._pipelines.forget, user_id)

    async def close(self) -> None:
        """Lets the batches under way finish and refuses what waits."""
        await asyncio.gather(*(batcher.close() for batcher in self._batchers.values()))

    def _batcher(self, pipeline: ServedPipeline, kind: Literal["recommend", "rank", "similar"]) -> Batcher[Any, Any]:
        """Returns the queue of one pipeline and one kind of query."""
        key = (pipeline.options.name, kind)
        if key not in self._batchers:
            rows, waiting = self._metrics.batch_rows.labels(key[0]), self._metrics.queue_rows.labels(key[0])

            def observe(batch: int, behind: int) -> None:
                rows.observe(batch)
                waiting.set(behind)

            self._batchers[key] = Batcher(
                getattr(pipeline, kind),
                self._executor,
                self._slots,
                max_batch_rows=pipeline.max_batch_rows,
                max_queue_rows=self._max_queue_rows,
                observe=observe,
            )
        return self._batchers[key]
