"""Has a pipeline answer requests of the protocol: histories to queries, answers to ids and scores."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.sdk.event import MAX_ID_BYTES
from honeyguide.server.bundles.catalogue import ItemNames
from honeyguide.server.exposure.shown import Shown
from honeyguide.server.oip.jobs import Job
from honeyguide.server.oip.parameters import Parameters
from honeyguide.server.oip.tensors import Given
from honeyguide.server.oip.work import Book
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.answers import Answers
from honeyguide.server.serving.arms import Arms
from honeyguide.server.serving.event_columns import InlineHistory
from honeyguide.server.serving.histories import UserInput
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.plan import Plan
from honeyguide.server.serving.queries import RecommendQuery

__all__ = ["Asked", "ItemBytes", "PipelineTools", "PipelineWork", "empty_answers", "read_queries"]

_MAX_K, _DEFAULT_K = 1000, 10
_MAX_ANSWERS = 20_000
_NO_ITEM = struct.pack("<I", 0)
"""An empty text: what stands behind a row's last item."""

Offer = Callable[[str, ServedPipeline, Sequence[RecommendQuery], Answers, Sequence[str]], None]


class ItemBytes:
    """Ids of items as elements of a BYTES tensor, each made when it is first answered, kept as long as it is served."""

    def __init__(self) -> None:
        self._tables: WeakKeyDictionary[ItemNames, NDArray[np.object_]] = WeakKeyDictionary()

    def of(self, names: ItemNames, rows: NDArray[np.int32]) -> NDArray[np.object_]:
        """Returns the elements of rows, of any shape; where the row is -1, the empty text."""
        table = self._tables.get(names)
        if table is None:
            table = self._tables[names] = np.full(len(names) + 1, None, object)
            table[-1] = _NO_ITEM
        elements: NDArray[np.object_] = table[rows]
        missing = elements == np.array(None)
        if missing.any():
            new = np.unique(rows[missing])
            for row, text in zip(new.tolist(), names.item_ids(new), strict=True):
                table[row] = struct.pack("<I", len(text.encode())) + text.encode()
            elements = table[rows]
        return elements


@dataclass(frozen=True, slots=True)
class PipelineTools:
    """What all pipelines are asked with."""

    pipelines: Pipelines
    metrics: Metrics
    book: Book
    items: ItemBytes
    expose: Callable[[Shown], object] | None = None
    """Writes down what is shown; None: nobody does."""
    offer: Offer | None = None
    """Has a shadow asked; None: nobody does."""


@dataclass(slots=True)
class Asked:
    """One row of a request."""

    job: Job
    place: int
    query: RecommendQuery


class PipelineWork:
    """Rows of any number of jobs that one pipeline answers by one plan; see `Work`."""

    def __init__(
        self, tools: PipelineTools, pipeline: ServedPipeline, plan: Plan, arms: Arms | None, asked: Sequence[Asked]
    ) -> None:
        """Takes the rows; ``arms``: of the pipeline that was asked, None: it has none."""
        self._tools, self._pipeline, self._plan, self._arms, self._asked = tools, pipeline, plan, arms, asked
        self._next = 0

    @property
    def left(self) -> int:
        """Rows that are still to be computed."""
        return len(self._asked) - self._next

    @property
    def jobs(self) -> Sequence[Job]:
        """Whose rows these are."""
        return list(dict.fromkeys(asked.job for asked in self._asked))

    def step(self, rows: int) -> None:
        """Answers the next rows, those that somebody waits for."""
        asked = self._asked[self._next : self._next + rows]
        self._next += len(asked)
        asked = [each for each in asked if not each.job.gone]
        if not asked:
            return
        metrics, name = self._tools.metrics, self._pipeline.options.name
        metrics.batch_rows.observe(name, len(asked))
        if self._arms is not None and self._arms.splits:
            metrics.arm_rows.labels(self._arms.pipeline, name).inc(len(asked))
        start = perf_counter()
        for places, answers in self._pipeline.recommend_parts([each.query for each in asked], self._plan):
            self._write([asked[place] for place in places], answers)
        model = asked[0].job.model
        self._tools.book.statistics.computed(model.name, model.version, len(asked), perf_counter() - start)

    def _write(self, asked: Sequence[Asked], answers: Answers) -> None:
        elements = self._tools.items.of(answers.catalogue, answers.rows)  # (users, n)
        finished: dict[Job, int] = {}
        for user, (each, length) in enumerate(zip(asked, answers.lengths, strict=True)):
            each.job.outputs["ids"][each.place, :length] = elements[user, :length]
            each.job.outputs["scores"][each.place, :length] = answers.scores[user, :length]
            finished[each.job] = finished.get(each.job, 0) + 1
        for job, rows in finished.items():
            self._tools.book.finish(job, rows)
        arms, name = self._arms, self._pipeline.options.name
        queries, ids = [each.query for each in asked], [each.job.call.request_id for each in asked]
        if self._tools.expose is not None:
            users = [query.user.user_id or "" for query in queries]
            if arms is None or not arms.splits:
                shown = Shown.now(name, ids, users, answers)
            else:
                drawn = replace(answers, arm=name)
                shown = Shown.now(arms.pipeline, ids, users, drawn, name, arms.propensity(name))
            self._tools.expose(shown)
        if self._tools.offer is not None and arms is not None:
            for shadow in arms.shadows:
                self._tools.offer(arms.pipeline, self._tools.pipelines.get(shadow), queries, answers, ids)


def read_queries(
    given: Mapping[str, Given], rows: int, parameters: Parameters, deadline: float
) -> list[RecommendQuery]:
    """Turns the inputs of a request into a query for each row; raises `InvalidArgument`."""
    ks = _ks(given.get("k"), rows, parameters.k)
    if rows * max(ks) > _MAX_ANSWERS:
        raise InvalidArgument("k", max(ks), f"rows x k of at most {_MAX_ANSWERS:,}: send smaller batches")
    users = _texts("user_id", given["user_id"].values) if "user_id" in given else [""] * rows
    history, length = _texts("history", given["history"].values), given["history"].shape[1]
    now = time.time_ns() // 1_000_000
    queries = []
    for row, (user_id, k) in enumerate(zip(users, ks, strict=True)):
        events = [text for text in history[row * length : (row + 1) * length] if text]
        user = UserInput(user_id or None, InlineHistory(events) if events else None, now)
        queries.append(RecommendQuery(user, k, parameters.drop_seen, deadline=deadline))
    return queries


def empty_answers(rows: int, width: int) -> dict[str, NDArray[Any]]:
    """Returns the outputs before anything is answered: no item anywhere."""
    ids = np.empty((rows, width), object)
    ids.fill(_NO_ITEM)
    return {"ids": ids, "scores": np.full((rows, width), -np.inf, np.float32)}


def _ks(given: Given | None, rows: int, parameter: int | None) -> list[int]:
    """Returns each row's k; raises `InvalidArgument` where it is given twice or out of its range."""
    if given is not None and parameter is not None:
        raise InvalidArgument("parameters[k]", parameter, "k once: as an input or as a parameter")
    if isinstance(given, Given):
        ks: list[int] = np.asarray(given.values).ravel().tolist()
        ks = ks * rows if len(ks) == 1 else ks
    else:
        ks = [_DEFAULT_K if parameter is None else parameter] * rows
    for k in ks:
        if not 1 <= k <= _MAX_K:
            raise InvalidArgument("k", k, f"1 to {_MAX_K:,}")
    return ks


def _texts(name: str, values: Any) -> list[str]:
    """Reads ids; "" is none."""
    try:
        texts = [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"inputs[{name}]", "bytes that are no UTF-8", "UTF-8") from error
    if max(map(len, values), default=0) > MAX_ID_BYTES:
        longest = max(texts, key=lambda text: len(text.encode()))
        raise InvalidArgument(f"inputs[{name}]", longest, f'1 to {MAX_ID_BYTES} bytes, or "" for none')
    return texts
