"""Serves RecommenderService: message → query → message."""

# ruff: noqa: N802  # gRPC names the methods and their arguments
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc

from honeyguide.sdk.errors import HoneyguideError, InvalidArgument, ModelChanged
from honeyguide.server.api import validation
from honeyguide.server.api.interceptor import to_row_error
from honeyguide.server.ops.logs import request_id
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.batching import Queues
from honeyguide.server.serving.context import RequestContext
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.queries import Answer, RecommendQuery, Source
from honeyguide.v1.history_pb2 import ModelVersion, RowError
from honeyguide.v1.recommender_service_pb2 import (
    Item,
    Ranked,
    RankRequest,
    RankResponse,
    RecommendRequest,
    RecommendResponse,
    RecommendStreamRequest,
    RecommendStreamResponse,
    ResultRow,
    SimilarItemsRequest,
    SimilarItemsResponse,
    StreamOptions,
    UserBatch,
)
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceServicer

__all__ = ["RecommenderServicer"]

_BATCHES_AHEAD = 4
"""Batches of one stream that are read but not yet answered: enough to keep the queue busy, few enough to stay small."""


class RecommenderServicer(RecommenderServiceServicer):
    """Servicer of recommendations, which the pipelines compute."""

    def __init__(self, queues: Queues, pipelines: Pipelines, metrics: Metrics) -> None:
        self._queues, self._pipelines, self._metrics = queues, pipelines, metrics

    async def Recommend(
        self, request: RecommendRequest, context: grpc.aio.ServicerContext[RecommendRequest, RecommendResponse]
    ) -> RecommendResponse:
        """Recommends items to one user."""
        query = validation.recommend_query(request)
        (answer,) = await self._queues.recommend(request.pipeline, [query], _context(context))
        return RecommendResponse(
            request_id=request_id(),
            items=_items(answer),
            shortfall=query.k - len(answer.item_ids),
            unknown_history_items=answer.unknown_history_items,
            models=_models(answer.models),
            degraded=bool(answer.degraded_reasons),
            reasons=answer.degraded_reasons,
        )

    async def Rank(
        self, request: RankRequest, context: grpc.aio.ServicerContext[RankRequest, RankResponse]
    ) -> RankResponse:
        """Scores the caller's candidates."""
        answer = await self._queues.rank(request.pipeline, validation.rank_query(request), _context(context))
        return RankResponse(
            request_id=request_id(),
            items=_items(answer),
            unknown_item_ids=answer.unknown_item_ids,
            unknown_history_items=answer.unknown_history_items,
            models=_models(answer.models),
            degraded=bool(answer.degraded_reasons),
            reasons=answer.degraded_reasons,
        )

    async def SimilarItems(
        self, request: SimilarItemsRequest, context: grpc.aio.ServicerContext[SimilarItemsRequest, SimilarItemsResponse]
    ) -> SimilarItemsResponse:
        """Lists an item's neighbours."""
        query = validation.similar_query(request)
        answer = await self._queues.similar(request.pipeline, query, _context(context))
        (model,) = _models(answer.models)
        return SimilarItemsResponse(items=_items(answer), shortfall=query.k - len(answer.item_ids), model=model)

    async def RecommendStream(
        self,
        request_iterator: AsyncIterator[RecommendStreamRequest],
        context: grpc.aio.ServicerContext[RecommendStreamRequest, RecommendStreamResponse],
    ) -> AsyncIterator[RecommendStreamResponse]:
        """Answers batches in order; reads on while it computes and writes, a few batches ahead."""
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("message") != "options":
            raise InvalidArgument("message", first and first.WhichOneof("message"), "`options` in the first message")
        options, defaults = first.options, validation.stream_defaults(first.options)
        self._check_models(options)
        request_context = _context(context)
        answers: asyncio.Queue[asyncio.Task[RecommendStreamResponse] | Exception | None] = asyncio.Queue(_BATCHES_AHEAD)
        tasks: set[asyncio.Task[RecommendStreamResponse]] = set()

        async def read() -> None:
            try:
                async for message in request_iterator:
                    validation.check_batch(message, defaults.k)
                    task = asyncio.create_task(self._answer(message.batch, options, defaults, request_context))
                    tasks.add(task)
                    await answers.put(task)
                await answers.put(None)
            except Exception as error:  # boundary: told after the answers to the batches before it
                await answers.put(error)

        reader = asyncio.create_task(read())
        try:
            while (pending := await answers.get()) is not None:
                if isinstance(pending, Exception):
                    raise pending
                yield await pending
                tasks.discard(pending)
        finally:
            for task in (reader, *tasks):
                task.cancel()
            await asyncio.gather(reader, *tasks, return_exceptions=True)

    async def _answer(
        self, batch: UserBatch, options: StreamOptions, defaults: RecommendQuery, context: RequestContext
    ) -> RecommendStreamResponse:
        queries: list[RecommendQuery] = []
        errors: dict[int, RowError] = {}
        for place, row in enumerate(batch.rows):
            try:
                queries.append(validation.row_query(row, defaults, now_given=options.HasField("now")))
            except HoneyguideError as error:  # boundary: one row; its mates go on
                errors[place] = to_row_error(error)
                self._metrics.row_errors.labels(error.reason).inc()
        answers = await self._queues.recommend(options.pipeline, queries, context, patient=True) if queries else []
        models = answers[0].models if answers else self._pipelines.get(options.pipeline).plan().models
        _require(options, models)
        found = iter(answers)
        rows = [
            ResultRow(error=errors[place]) if place in errors else ResultRow(ranked=_ranked(next(found)))
            for place in range(len(batch.rows))
        ]
        return RecommendStreamResponse(sequence=batch.sequence, models=_models(models), rows=rows)

    def _check_models(self, options: StreamOptions) -> None:
        """Checks the pipeline and the pinned versions before the first batch."""
        _require(options, self._pipelines.get(options.pipeline).plan().models)


def _context(context: grpc.aio.ServicerContext[Any, Any]) -> RequestContext:
    left = context.time_remaining()
    deadline = float("inf") if left is None else asyncio.get_running_loop().time() + left
    return RequestContext(request_id(), deadline)


def _require(options: StreamOptions, models: Iterable[tuple[str, int]]) -> None:
    wanted = {(m.name, m.version) for m in options.require_models}
    if wanted and wanted != (serving := set(models)):
        raise ModelChanged(
            f"require_models are {_named(wanted)}; {_named(serving)} serve: start over without, or load what you need"
        )


def _named(models: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name}/{version}" for name, version in sorted(models))


def _models(models: Iterable[tuple[str, int]]) -> list[ModelVersion]:
    return [ModelVersion(name=name, version=version) for name, version in models]


def _items(answer: Answer) -> list[Item]:
    nothing: tuple[tuple[str, str], ...] = ()
    return [
        Item(
            item_id=item_id,
            score=score,
            source=source,  # type: ignore[arg-type]  # Source holds the proto's numbers
            source_model="" if source == Source.POPULAR else answer.source_model,
            title=title,
            because=[item_id for item_id, _ in because],
        )
        for item_id, score, source, title, because in zip(
            answer.item_ids,
            answer.scores,
            answer.sources,
            answer.titles,
            answer.because_items or [nothing] * len(answer.item_ids),
            strict=True,
        )
    ]


def _ranked(answer: Answer) -> Ranked:
    return Ranked(
        item_ids=answer.item_ids,
        scores=answer.scores,
        sources=answer.sources,  # type: ignore[arg-type]  # Source holds the proto's numbers
        unknown_history_items=answer.unknown_history_items,
        degraded=bool(answer.degraded_reasons),
        reasons=answer.degraded_reasons,
    )
