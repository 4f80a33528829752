"""Answers ModelInfer on the threads that compute, from bytes to bytes; large batches in pieces, between other calls."""

from __future__ import annotations

import threading
from functools import partial
from time import monotonic

from honeyguide.oip.v2 import inference_pb2 as pb
from honeyguide.sdk.errors import DeadlinePassed, HoneyguideError, OverCapacity
from honeyguide.server.api.reading import read_message
from honeyguide.server.oip.graph_work import GraphWork, empty_outputs, read_arrays
from honeyguide.server.oip.jobs import Job
from honeyguide.server.oip.models import GraphModel, InferenceModel, Models, PipelineModel
from honeyguide.server.oip.parameters import Parameters, read_parameters
from honeyguide.server.oip.pipeline_work import Asked, PipelineTools, PipelineWork, empty_answers, read_queries
from honeyguide.server.oip.statistics import Durations
from honeyguide.server.oip.tensors import read_tensors
from honeyguide.server.oip.work import Work
from honeyguide.server.serving.calls import ServerCall
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.workers import Workers

__all__ = ["InferMethod"]


class InferMethod:
    """The one method of the protocol that is answered by the threads that compute."""

    def __init__(self, models: Models, tools: PipelineTools, workers: Workers, max_rows: int) -> None:
        """Takes its parts; ``max_rows``: rows that may wait for their turn behind the calls that they came in."""
        self._models, self._tools, self._workers, self._max_rows = models, tools, workers, max_rows
        self._waiting, self._lock = 0, threading.Lock()  # rows

    def answer(self, calls: list[ServerCall]) -> None:
        """Ends each of the calls, or sees to it that it will be ended."""
        asked: dict[tuple[str, int], list[Asked]] = {}
        works: list[Work] = []
        rows = 0
        for call in calls:
            try:
                begun = self._begin(call)
                job = begun.jobs[0] if isinstance(begun, GraphWork) else begun[0].job
                self._check_room(job, rows)
            except Exception as error:  # boundary: one call; its mates go on
                self._tools.book.outcomes.fail(call, error)
                continue
            rows += job.rows
            if isinstance(begun, GraphWork):
                works.append(begun)
            else:
                asked.setdefault((job.model.name, job.model.version), []).extend(begun)
        for own in asked.values():
            works += self._split(own)
        room = self._workers.part_rows
        for work in works:
            before = work.left
            if room <= 0 or self._step(work, room):
                self._put(work, work.left)
            room -= before

    def _check_room(self, job: Job, rows: int) -> None:
        """Raises `OverCapacity` where too many rows wait already, beside the ``rows`` of calls that came with it."""
        if (waiting := self._waiting + rows) and waiting + job.rows > self._max_rows:
            self._tools.book.statistics.failed(job.model.name, job.model.version, monotonic() - job.call.arrived)
            text = f"{waiting} rows wait already, and at most {self._max_rows} may; try again later"
            raise OverCapacity(text, retry_after=1.0)

    def _begin(self, call: ServerCall) -> list[Asked] | GraphWork:
        """Reads and checks a call; a fault of its own is counted with the model that it names."""
        start = monotonic()
        request = read_message(pb.ModelInferRequest.FromString, call.payload)
        model = self._models.find(request.model_name, request.model_version)
        try:
            return self._read(call, request, model, start)
        except HoneyguideError:
            self._tools.book.statistics.failed(model.name, model.version, monotonic() - call.arrived)
            raise

    def _read(
        self, call: ServerCall, request: pb.ModelInferRequest, model: InferenceModel, start: float
    ) -> list[Asked] | GraphWork:
        parameters = read_parameters(request.parameters, is_pipeline=isinstance(model, PipelineModel))
        _check_timeout(call, parameters)
        given, rows = read_tensors(request, model.inputs)
        if rows > 1 and call.limits is not None:  # each row is a request, as in a stream
            call.limits.take_more(rows - 1)
        took = Durations(queue=start - call.arrived)
        if isinstance(model, GraphModel):
            arrays = read_arrays(model, given)
            job = Job(call, request, model, empty_outputs(model, rows, given), took)
            took.read = monotonic() - start
            return GraphWork(self._tools.book, job, model, arrays)
        queries = read_queries(given, rows, parameters, call.deadline)
        job = Job(call, request, model, empty_answers(rows, max(query.k for query in queries)), took)
        took.read = monotonic() - start
        return [Asked(job, place, query) for place, query in enumerate(queries)]

    def _split(self, asked: list[Asked]) -> list[Work]:
        """Returns the work on rows of one pipeline: one, or one for each arm that answers some of them."""
        tools, model = self._tools, asked[0].job.model
        assert isinstance(model, PipelineModel)
        arms = tools.pipelines.traffic.arms.get(model.name)
        if arms is None or not arms.splits:
            return [PipelineWork(tools, model.pipeline, model.plan, arms, asked)]
        drawn: dict[str, tuple[ServedPipeline, list[Asked]]] = {}
        for each in asked:
            key = each.query.user.user_id or f"{each.job.call.request_id}/{each.place}"
            pipeline, name = tools.pipelines.answering(model.name, key)
            drawn.setdefault(name, (pipeline, []))[1].append(each)
        return [PipelineWork(tools, pipeline, pipeline.plan(), arms, rows) for pipeline, rows in drawn.values()]

    def _step(self, work: Work, rows: int) -> bool:
        """Computes a piece; returns whether there is more to be done."""
        try:
            work.step(rows)
        except Exception as error:  # boundary: one model; the others go on
            for job in work.jobs:
                self._tools.book.fail(job, error)
            return False
        return work.left > 0

    def _put(self, work: Work, more: int) -> None:
        """Queues a piece of some work; ``more``: rows that wait from now on and have not until now."""
        self._count(more)
        self._workers.put_part(partial(self._go_on, work, work.left))

    def _go_on(self, work: Work, waited: int) -> None:
        if self._step(work, self._workers.part_rows):
            self._count(work.left - waited)
            self._put(work, 0)
        else:
            self._count(-waited)

    def _count(self, rows: int) -> None:
        with self._lock:
            self._waiting += rows


def _check_timeout(call: ServerCall, parameters: Parameters) -> None:
    """Raises `DeadlinePassed` where a request waited longer than it says that it may."""
    if parameters.timeout and monotonic() - call.arrived > parameters.timeout:
        raise DeadlinePassed("the request waited longer than its parameter `timeout` allows")
