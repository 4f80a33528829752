"""Answers one batch of a stream on the threads that compute: checked, computed part by part, written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from honeyguide.sdk.errors import HoneyguideError, InvalidArgument, ModelChanged
from honeyguide.server.api import validation
from honeyguide.server.api.statuses import reason_of, to_row_error
from honeyguide.server.api.writing import AnswerWriter
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.calls import RequestIds
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.plan import Plan
from honeyguide.server.serving.queries import RecommendQuery
from honeyguide.server.serving.workers import Workers
from honeyguide.v1.recommender_service_pb2 import RecommendStreamRequest, RecommendStreamResponse, StreamOptions

__all__ = ["StreamBatch", "StreamTools", "require_models"]


@dataclass(frozen=True, slots=True)
class StreamTools:
    """What all batches of all streams are answered with."""

    workers: Workers
    pipelines: Pipelines
    metrics: Metrics
    writer: AnswerWriter
    request_ids: RequestIds


class StreamBatch:
    """One batch. What breaks a rule, or meets a fault, fails alone; what ends the stream names the batch."""

    def __init__(
        self,
        tools: StreamTools,
        message: RecommendStreamRequest,
        options: StreamOptions,
        defaults: RecommendQuery,
        done: Callable[[bytes | Exception], object],
    ) -> None:
        """Takes what is asked; ``done`` is told the answer, or what ends the stream, on a thread that computes."""
        self._tools, self._message, self._options, self._defaults = tools, message, options, defaults
        self._done = done
        self._id = tools.request_ids.new()
        self._rows: list[bytes] = [b""] * len(message.batch.rows)
        self._queries: dict[int, RecommendQuery] = {}
        self._places: list[int] = []  # of the rows that keep the rules
        self._categories: Sequence[str] = ()
        self._lock = threading.Lock()
        self._next, self._left = 0, 0  # of these: the first that no part has, and those without an answer
        self.unwanted = False
        """Whether nobody waits for the answer any more."""

    def start(self) -> None:
        """Queues the work."""
        self._tools.workers.put_part(partial(self._guard, self._begin))

    def _guard(self, work: Callable[[], None]) -> None:
        if self.unwanted:
            return
        try:
            work()
        except Exception as error:  # boundary: one batch of a stream
            self.unwanted = True
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        sequence = self._message.batch.sequence
        if isinstance(error, HoneyguideError) and not isinstance(error, InvalidArgument):
            self._done(error.with_facts(sequence=str(sequence)))
            return
        if not isinstance(error, HoneyguideError):
            log = structlog.get_logger("honeyguide.requests")
            log.error("batch failed", request_id=self._id, sequence=sequence, exc_info=error)
        row_error = to_row_error(error, self._id)
        self._tools.metrics.row_errors.labels(reason_of(row_error)).inc()
        answer = RecommendStreamResponse(sequence=sequence, request_id=self._id, error=row_error)
        self._done(answer.SerializeToString())

    def _begin(self) -> None:
        options, tools = self._options, self._tools
        validation.check_batch(self._message, self._defaults.k)
        for place, row in enumerate(self._message.batch.rows):
            try:
                query = validation.row_query(row, self._defaults, at_own_time=not options.request_time_ms)
            except HoneyguideError as error:  # boundary: one row; its mates go on
                self._rows[place] = tools.writer.failed_row(to_row_error(error))
                tools.metrics.row_errors.labels(error.reason).inc()
            else:
                self._queries[place] = query
        pipeline = tools.pipelines.get(options.pipeline)
        plan = pipeline.plan()  # one for all parts
        require_models(options, plan.models)
        self._places = list(self._queries)
        self._left = len(self._places)
        for _ in range(0, self._left, pipeline.max_batch_rows):
            self._put(pipeline, plan)
        if not self._places:
            self._finish(plan)

    def _put(self, pipeline: ServedPipeline, plan: Plan) -> None:
        self._tools.workers.put_part(partial(self._guard, partial(self._compute, pipeline, plan)))

    def _compute(self, pipeline: ServedPipeline, plan: Plan) -> None:
        """Computes the next part, as large as suits the calls that come meanwhile, and queues another for the rest."""
        rows = min(self._tools.workers.part_rows, pipeline.max_batch_rows)
        with self._lock:
            part = self._places[self._next : self._next + rows]
            self._next += len(part)
        if not part:
            return
        queries = [self._queries[place] for place in part]
        self._tools.metrics.batch_rows.observe(pipeline.options.name, len(queries))
        for places, answers in pipeline.recommend_parts(queries, plan):
            user_ids = [queries[place].user.user_id for place in places]
            written = self._tools.writer.rows(
                answers, self._defaults.k, user_ids, with_titles=self._options.include_titles
            )
            for place, row in zip(places, written, strict=True):
                self._rows[part[place]] = row
            if answers.unknown_categories:  # the filter is the stream's
                self._categories = answers.unknown_categories[0]
        with self._lock:
            self._left -= len(part)
            last, more = not self._left, self._next < len(self._places)
        if more:
            self._put(pipeline, plan)
        if last:
            self._finish(plan)

    def _finish(self, plan: Plan) -> None:
        sequence = self._message.batch.sequence
        self._done(self._tools.writer.batch(sequence, self._id, plan.models, self._rows, self._categories))


def require_models(options: StreamOptions, models: Iterable[tuple[str, int]]) -> None:
    """Raises `ModelChanged` where a stream requires other bundles than those that serve it."""
    required = {(m.name, m.version) for m in options.required_models}
    if required and required != (serving := set(models)):
        raise ModelChanged(
            f"required_models are {_named(required)}; {_named(serving)} serve: "
            "start over without, or load what you need"
        ).with_facts(field="required_models", value=_named(required), existing=_named(serving))


def _named(models: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name}/{version}" for name, version in sorted(models))
