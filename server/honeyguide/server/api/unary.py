"""Answers calls in batches, from bytes to bytes: reads and checks each, computes those of a pipeline at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from honeyguide.sdk.errors import OverCapacity
from honeyguide.server.api import validation
from honeyguide.server.api.event_service import EventRecorder, RecordOutcome
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.api.reading import read_message
from honeyguide.server.api.writing import AnswerWriter
from honeyguide.server.exposure.shown import Shown
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.answers import Answers
from honeyguide.server.serving.arms import Arms
from honeyguide.server.serving.calls import ServerCall
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.queries import RankQuery, RecommendQuery, SimilarQuery
from honeyguide.v1.event_service_pb2 import RecordEventsRequest, RecordEventsResponse
from honeyguide.v1.recommender_service_pb2 import RankRequest, RecommendRequest, SimilarItemsRequest

if TYPE_CHECKING:
    from honeyguide.server.exposure.log import ExposureLog
    from honeyguide.server.serving.shadows import Shadows

__all__ = ["UnaryMethods"]

Query = TypeVar("Query")
_RECOMMENDER, _EVENTS = "/honeyguide.v1.RecommenderService", "/honeyguide.v1.EventService"


class UnaryMethods:
    """Unary methods that are answered by the threads that compute, without an event loop."""

    def __init__(
        self,
        pipelines: Pipelines,
        recorder: EventRecorder,
        metrics: Metrics,
        outcomes: Outcomes,
        writer: AnswerWriter,
        exposures: ExposureLog | None = None,
        shadows: Shadows | None = None,
    ) -> None:
        """Takes its parts.

        Args:
            pipelines: answer.
            recorder: records.
            metrics: where batches and arms are counted.
            outcomes: ends the calls.
            writer: of the answers.
            exposures: where what is shown is written down; None: nowhere.
            shadows: asks the shadows of pipelines; None: nobody does.
        """
        self._exposures, self._shadows = exposures, shadows
        self._pipelines, self._recorder = pipelines, recorder
        self._metrics, self._outcomes, self._writer = metrics, outcomes, writer
        recommend = _Ask(RecommendRequest, validation.recommend_query, self._recommend, drawn=True)
        rank = _Ask(RankRequest, validation.rank_query, self._rank, drawn=True)
        similar = _Ask(SimilarItemsRequest, validation.similar_query, self._similar, drawn=False)
        self._methods: dict[str, Callable[[list[ServerCall]], None]] = {
            f"{_RECOMMENDER}/Recommend": partial(self._ask, recommend),
            f"{_RECOMMENDER}/Rank": partial(self._ask, rank),
            f"{_RECOMMENDER}/SimilarItems": partial(self._ask, similar),
            f"{_EVENTS}/RecordEvents": self._record,
        }

    def add(self, path: str, method: Callable[[list[ServerCall]], None]) -> None:
        """Adds a method of another room, which ends each of its calls and raises nothing that is a call's own fault."""
        self._methods[path] = method

    @property
    def paths(self) -> Sequence[str]:
        """The methods' paths, "/package.Service/Method"."""
        return tuple(self._methods)

    def answer(self, calls: list[ServerCall]) -> None:
        """Ends each of the calls, or sees to it that it will be ended; raises nothing."""
        for method in dict.fromkeys([call.method for call in calls]):  # mostly one
            own = [call for call in calls if call.method == method]
            self._outcomes.begin(method, len(own))
            try:
                self._methods[method](own)
            except Exception as error:  # boundary: whatever it is, the calls that wait get it
                for call in own:
                    self._outcomes.fail(call, error)

    def _ask(self, ask: _Ask, calls: list[ServerCall]) -> None:
        asked: list[tuple[str, ServerCall, Any]] = []
        for call in calls:
            try:
                request = read_message(ask.message.FromString, call.payload)
                query: Any = ask.query(request)
                if ask.drawn:
                    query.deadline = call.deadline
                asked.append((request.pipeline, call, query))
            except Exception as error:  # boundary: one call; its mates go on
                self._outcomes.fail(call, error)
        for name in dict.fromkeys([name for name, _, _ in asked]):  # mostly one
            own = [call for other, call, _ in asked if other == name]
            try:
                pipeline = self._pipelines.get(name)
                queries = [query for other, _, query in asked if other == name]
                arms = self._pipelines.traffic.arms
                if arms and ask.drawn and pipeline.options.name in arms:
                    self._split(ask, arms[pipeline.options.name], own, queries)
                    continue
                self._metrics.batch_rows.observe(pipeline.options.name, len(own))
                ask.answer(pipeline, own, queries)
            except Exception as error:  # boundary: one pipeline
                for call in own:
                    self._outcomes.fail(call, error)

    def _split(self, ask: _Ask, arms: Arms, calls: list[ServerCall], queries: list[Any]) -> None:
        """Has each user's arm answer."""
        drawn: dict[str, tuple[ServedPipeline, list[ServerCall], list[Any]]] = {}
        for call, query in zip(calls, queries, strict=True):
            pipeline, arm = self._pipelines.answering(arms.pipeline, query.user.user_id or call.request_id)
            _, own, asked = drawn.setdefault(arm, (pipeline, [], []))
            own.append(call)
            asked.append(query)
        for arm, (pipeline, own, asked) in drawn.items():
            self._metrics.batch_rows.observe(pipeline.options.name, len(own))
            if arm:
                self._metrics.arm_rows.labels(arms.pipeline, arm).inc(len(own))
            try:
                ask.answer(pipeline, own, asked, _Drawn(arms, arm))
            except Exception as error:  # boundary: one arm
                for call in own:
                    self._outcomes.fail(call, error)

    def _recommend(
        self,
        pipeline: ServedPipeline,
        calls: list[ServerCall],
        queries: list[RecommendQuery],
        drawn: _Drawn | None = None,
    ) -> None:
        for places, answers in pipeline.recommend_parts(queries):
            if drawn is not None:
                answers = replace(answers, arm=drawn.arm)  # the same answers, said whose they are
            own = [calls[place] for place in places]
            ks = [queries[place].k for place in places]
            self._outcomes.answer(own, self._writer.recommendations(answers, ks, [call.request_id for call in own]))
            if self._exposures is not None:
                self._expose(self._exposures, pipeline, own, [queries[place] for place in places], answers, drawn)
            if drawn is not None and self._shadows is not None:
                asked, ids = [queries[place] for place in places], [call.request_id for call in own]
                for name in drawn.arms.shadows:
                    self._shadows.offer(drawn.arms.pipeline, self._pipelines.get(name), asked, answers, ids)

    def _rank(
        self,
        pipeline: ServedPipeline,
        calls: list[ServerCall],
        queries: list[RankQuery],
        drawn: _Drawn | None = None,
    ) -> None:
        for places, answers in pipeline.rank_parts(queries):
            if drawn is not None:
                answers = replace(answers, arm=drawn.arm)  # as above
            own = [calls[place] for place in places]
            self._outcomes.answer(own, self._writer.rankings(answers, [call.request_id for call in own]))
            if self._exposures is not None:
                self._expose(self._exposures, pipeline, own, [queries[place] for place in places], answers, drawn)

    @staticmethod
    def _expose(
        exposures: ExposureLog,
        pipeline: ServedPipeline,
        calls: list[ServerCall],
        queries: Sequence[RecommendQuery | RankQuery],
        answers: Answers,
        drawn: _Drawn | None,
    ) -> None:
        ids, users = [call.request_id for call in calls], [query.user.user_id or "" for query in queries]
        if drawn is None or not drawn.arm:
            exposures.add(Shown.now(pipeline.options.name, ids, users, answers))
        else:
            propensity = drawn.arms.propensity(drawn.arm)
            exposures.add(Shown.now(drawn.arms.pipeline, ids, users, answers, drawn.arm, propensity))

    def _similar(self, pipeline: ServedPipeline, calls: list[ServerCall], queries: list[SimilarQuery]) -> None:
        (places, answers), missing = pipeline.similar_part(queries)
        for place, error in missing.items():
            self._outcomes.fail(calls[place], error)
        if places:
            own = [calls[place] for place in places]
            ks = [queries[place].k for place in places]
            self._outcomes.answer(own, self._writer.neighbours(answers, ks, [call.request_id for call in own]))

    def _record(self, calls: list[ServerCall]) -> None:
        refused: dict[OverCapacity, list[ServerCall]] = {}
        for call in calls:
            if (full := self._recorder.full(len(call.payload))) is not None:
                refused.setdefault(full, []).append(call)
                continue
            try:
                request = read_message(RecordEventsRequest.FromString, call.payload)
                self._recorder.submit(request, partial(self._recorded, call), call.limits)
            except Exception as error:  # boundary: one call; its mates go on
                self._outcomes.fail(call, error)
        for full, own in refused.items():
            self._outcomes.fail_all(own, full)

    def _recorded(self, call: ServerCall, recorded: RecordOutcome) -> None:
        """Answers a call whose events are on disk, or not; on the thread of the store."""
        if isinstance(recorded, Exception):
            self._outcomes.fail(call, recorded)
        elif isinstance(recorded, RecordEventsResponse):
            self._outcomes.answer([call], [recorded.SerializeToString()])


class _Drawn(NamedTuple):
    """What a pipeline's traffic came to for some calls."""

    arms: Arms
    arm: str
    """The arm that answers; "": the pipeline has none."""


class _Ask:
    """How one method of the recommender is answered."""

    __slots__ = ("answer", "drawn", "message", "query")

    def __init__(
        self,
        message: Any,
        query: Callable[[Any], Query],
        answer: Callable[..., None],
        *,
        drawn: bool,
    ) -> None:
        """Takes its parts; ``drawn``: whether a pipeline's arms answer, each its own users."""
        self.message, self.query, self.answer, self.drawn = message, query, answer, drawn
