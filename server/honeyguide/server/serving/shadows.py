"""Asks shadow pipelines what others were asked, behind their answers and never in their way, and counts the outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, Full, Queue
from typing import NamedTuple

import structlog

from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.answers import Answers
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.queries import RecommendQuery

__all__ = ["Shadows"]

_MOST_BATCHES = 16
"""Batches that may wait; with 64 users each they hold some megabytes."""
_LOOK_SECONDS = 0.5


class _Asked(NamedTuple):
    pipeline: str
    shadow: ServedPipeline
    queries: Sequence[RecommendQuery]
    answers: Answers
    request_ids: Sequence[str]


class Shadows:
    """Thread that answers for shadows, with a short queue before it: what finds no place there is dropped."""

    def __init__(
        self,
        metrics: Metrics,
        busy: Callable[[], bool] = lambda: False,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts nothing before something is offered.

        Args:
            metrics: where outcomes are counted.
            busy: whether callers wait for answers; then nothing is computed for shadows.
            prepare: called first on the thread.
        """
        self._metrics, self._busy, self._prepare = metrics, busy, prepare
        self._queue: Queue[_Asked] = Queue(_MOST_BATCHES)
        self._thread: threading.Thread | None = None
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._log = structlog.get_logger("honeyguide.shadows")

    def offer(
        self,
        pipeline: str,
        shadow: ServedPipeline,
        queries: Sequence[RecommendQuery],
        answers: Answers,
        request_ids: Sequence[str],
    ) -> None:
        """Has a shadow asked what was answered just now, later and if there is time; returns at once.

        Args:
            pipeline: what was asked.
            shadow: what is asked besides.
            queries: the users' questions.
            answers: what they were answered.
            request_ids: of these answers.
        """
        asked = _Asked(pipeline, shadow, queries, answers, request_ids)
        if self._busy() or self._closed.is_set():
            self._count(asked, "dropped")
            return
        try:
            self._queue.put_nowait(asked)
        except Full:
            self._count(asked, "dropped")
            return
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="honeyguide-shadow", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """Ends the thread; what still waits is dropped."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        self._prepare()
        while not self._closed.is_set():
            try:
                asked = self._queue.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            if self._busy():
                self._count(asked, "dropped")
                continue
            try:
                self._ask(asked)
            except Exception as error:  # boundary: a shadow's models; nobody waits for it
                self._count(asked, "failed")
                self._log.warning(
                    "shadow failed", pipeline=asked.pipeline, shadow=asked.shadow.options.name, exc_info=error
                )

    def _ask(self, asked: _Asked) -> None:
        shadow = asked.shadow.options.name
        overlap = self._metrics.shadow_overlap.labels(asked.pipeline, shadow)
        answered = [asked.answers[place].item_ids for place in range(len(asked.answers))]
        scored = asked.shadow.recommend(asked.queries)
        for request_id, mine, given in zip(asked.request_ids, scored, answered, strict=True):
            shared = len(set(mine.item_ids) & set(given))
            overlap.observe(shared / max(len(given), len(mine.item_ids), 1))
            self._log.debug(
                "shadow scored",
                request_id=request_id,
                pipeline=asked.pipeline,
                shadow=shadow,
                models=mine.models,
                item_ids=mine.item_ids,
            )
        self._count(asked, "scored")

    def _count(self, asked: _Asked, outcome: str) -> None:
        self._metrics.shadow_rows.labels(asked.pipeline, asked.shadow.options.name, outcome).inc(len(asked.queries))
