"""Serves RecommenderService: message → query → message."""

# ruff: noqa: ARG002, N802  # gRPC names the methods and their arguments
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from uuid import uuid4

import grpc
import structlog

from honeyguide.sdk.errors import HoneyguideError, InvalidArgument, ModelChanged
from honeyguide.server.api import validation
from honeyguide.server.api.context import current_context
from honeyguide.server.api.interceptor import reason_of, to_row_error
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.batching import Queues
from honeyguide.server.serving.context import RequestContext
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.queries import Answer, ItemSource, RecommendQuery
from honeyguide.v1.errors_pb2 import RowError
from honeyguide.v1.history_pb2 import ModelVersion
from honeyguide.v1.recommender_service_pb2 import (
    BecauseItem,
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
        self._log = structlog.get_logger("honeyguide.requests")

    async def Recommend(
        self, request: RecommendRequest, context: grpc.aio.ServicerContext[RecommendRequest, RecommendResponse]
    ) -> RecommendResponse:
        """Recommends items to one user."""
        query, call = validation.recommend_query(request), current_context()
        (answer,) = await self._queues.recommend(request.pipeline, [query], call)
        return RecommendResponse(
            request_id=call.request_id,
            items=_items(answer),
            shortfall=query.k - len(answer.item_ids),
            unknown_history_items=answer.unknown_history_items,
            models=_models(answer.models),
            degraded=bool(answer.degraded_reasons),
            degraded_reasons=_degraded(answer.degraded_reasons),
            user_state=answer.user_state,  # type: ignore[arg-type]  # UserState holds the proto's numbers
            unknown_categories=answer.unknown_categories,
        )

    async def Rank(
        self, request: RankRequest, context: grpc.aio.ServicerContext[RankRequest, RankResponse]
    ) -> RankResponse:
        """Scores the caller's candidates."""
        query, call = validation.rank_query(request), current_context()
        answer = await self._queues.rank(request.pipeline, query, call)
        return RankResponse(
            request_id=call.request_id,
            items=_items(answer),
            unknown_item_ids=answer.unknown_item_ids,
            unknown_history_items=answer.unknown_history_items,
            models=_models(answer.models),
            degraded=bool(answer.degraded_reasons),
            degraded_reasons=_degraded(answer.degraded_reasons),
            user_state=answer.user_state,  # type: ignore[arg-type]  # UserState holds the proto's numbers
        )

    async def SimilarItems(
        self, request: SimilarItemsRequest, context: grpc.aio.ServicerContext[SimilarItemsRequest, SimilarItemsResponse]
    ) -> SimilarItemsResponse:
        """Lists an item's neighbours."""
        query, call = validation.similar_query(request), current_context()
        answer = await self._queues.similar(request.pipeline, query, call)
        (model,) = _models(answer.models)
        return SimilarItemsResponse(
            request_id=call.request_id,
            items=_items(answer),
            shortfall=query.k - len(answer.item_ids),
            model=model,
            unknown_categories=answer.unknown_categories,
        )

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
        call = current_context()
        answers: asyncio.Queue[asyncio.Task[RecommendStreamResponse] | Exception | None] = asyncio.Queue(_BATCHES_AHEAD)
        tasks: set[asyncio.Task[RecommendStreamResponse]] = set()

        async def read() -> None:
            after = ""
            try:
                async for message in request_iterator:
                    after = str(message.batch.sequence)
                    task = asyncio.create_task(self._answer(message, options, defaults, call))
                    tasks.add(task)
                    await answers.put(task)
                await answers.put(None)
            except HoneyguideError as error:  # a message that cannot be read has no sequence that can
                await answers.put(error.with_facts(after_sequence=after) if after else error)
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
        self, message: RecommendStreamRequest, options: StreamOptions, defaults: RecommendQuery, call: RequestContext
    ) -> RecommendStreamResponse:
        """Answers one batch. One that breaks a rule, or meets a fault, fails alone; what ends the stream names it."""
        sequence, call = message.batch.sequence, replace(call, request_id=uuid4().hex)
        try:
            validation.check_batch(message, defaults.k)
            return await self._answer_batch(message.batch, options, defaults, call)
        except Exception as error:  # boundary: one batch of a stream
            if isinstance(error, HoneyguideError) and not isinstance(error, InvalidArgument):
                raise error.with_facts(sequence=str(sequence)) from error
            if not isinstance(error, HoneyguideError):
                self._log.exception("batch failed", request_id=call.request_id, sequence=sequence)
            row_error = to_row_error(error, call.request_id)
            self._metrics.row_errors.labels(reason_of(row_error)).inc()
            return RecommendStreamResponse(sequence=sequence, request_id=call.request_id, error=row_error)

    async def _answer_batch(
        self, batch: UserBatch, options: StreamOptions, defaults: RecommendQuery, call: RequestContext
    ) -> RecommendStreamResponse:
        queries: list[RecommendQuery] = []
        errors: dict[int, RowError] = {}
        for place, row in enumerate(batch.rows):
            try:
                queries.append(validation.row_query(row, defaults, at_own_time=not options.request_time_ms))
            except HoneyguideError as error:  # boundary: one row; its mates go on
                errors[place] = to_row_error(error)
                self._metrics.row_errors.labels(error.reason).inc()
        answers = await self._queues.recommend(options.pipeline, queries, call, patient=True) if queries else []
        models = answers[0].models if answers else self._pipelines.get(options.pipeline).plan().models
        _require(options, models)
        following = iter(zip(queries, answers, strict=True))
        rows = [
            ResultRow(error=errors[place])
            if place in errors
            else ResultRow(ranked=_ranked(*next(following), with_titles=options.include_titles))
            for place in range(len(batch.rows))
        ]
        return RecommendStreamResponse(
            sequence=batch.sequence,
            request_id=call.request_id,
            models=_models(models),
            rows=rows,
            unknown_categories=answers[0].unknown_categories if answers else (),  # the filter is the stream's
        )

    def _check_models(self, options: StreamOptions) -> None:
        """Checks the pipeline and the pinned versions before the first batch."""
        _require(options, self._pipelines.get(options.pipeline).plan().models)


def _require(options: StreamOptions, models: Iterable[tuple[str, int]]) -> None:
    required = {(m.name, m.version) for m in options.required_models}
    if required and required != (serving := set(models)):
        raise ModelChanged(
            f"required_models are {_named(required)}; {_named(serving)} serve: "
            "start over without, or load what you need"
        ).with_facts(field="required_models", value=_named(required), existing=_named(serving))


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
            source=source,  # type: ignore[arg-type]  # ItemSource holds the proto's numbers
            source_model="" if source == ItemSource.POPULAR else answer.source_model,
            title=title,
            because_items=[BecauseItem(item_id=item_id, title=title) for item_id, title in because],
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


def _degraded(reasons: Sequence[str]) -> list[str]:
    return [f"DEGRADED_REASON_{reason}" for reason in reasons]  # enums may be given by name


def _ranked(query: RecommendQuery, answer: Answer, *, with_titles: bool) -> Ranked:
    return Ranked(
        item_ids=answer.item_ids,
        scores=answer.scores,
        sources=answer.sources,  # type: ignore[arg-type]  # ItemSource holds the proto's numbers
        titles=answer.titles if with_titles else (),
        source_model=answer.source_model,
        user_id=query.user.user_id,
        user_state=answer.user_state,  # type: ignore[arg-type]  # as above
        shortfall=query.k - len(answer.item_ids),
        unknown_history_items=answer.unknown_history_items,
        degraded=bool(answer.degraded_reasons),
        degraded_reasons=_degraded(answer.degraded_reasons),
    )
