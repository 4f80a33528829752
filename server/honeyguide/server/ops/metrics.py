"""Counts what the server does, for Prometheus."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from time import perf_counter
from types import TracebackType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from honeyguide.server.ops.histograms import BatchHistogram

__all__ = ["Metrics"]

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters of one server, in a registry of their own, so that two servers in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        r = self.registry
        self.requests = Counter("honeyguide_requests", "Requests begun.", ["method"], registry=r)
        self.errors = Counter("honeyguide_errors", "Requests failed, by reason.", ["method", "reason"], registry=r)
        self.row_errors = Counter("honeyguide_row_errors", "Rows failed in batches.", ["reason"], registry=r)
        self.request_seconds = BatchHistogram(
            "honeyguide_request_seconds", "Seconds from begin to end of a request.", "method", _SECONDS, r
        )
        self.stage_seconds = BatchHistogram(
            "honeyguide_stage_seconds", "Seconds of one stage of a batch.", "stage", _SECONDS, r
        )
        # Looking a metric up by its labels takes longer than counting.
        self.users_met = cache(lambda model, outcome: self.users.labels(model, outcome))
        self.batch_rows = BatchHistogram("honeyguide_batch_rows", "Users computed in one batch.", "pipeline", _ROWS, r)
        self.queue_rows = Gauge("honeyguide_queue_rows", "Calls waiting for a batch.", registry=r)
        self.model_version = Gauge("honeyguide_model_version", "Version that serves.", ["model"], registry=r)
        self.events = Counter(
            "honeyguide_events", "Events received: accepted, duplicate or rejected.", ["outcome"], registry=r
        )
        self.users = Counter(
            "honeyguide_users",
            "Users a bundle met: encoded whole, stepped by their new events, or reused unchanged.",
            ["model", "outcome"],
            registry=r,
        )
        self.event_store_up = Gauge(
            "honeyguide_event_store_up", "1: events are stored and read; 0: something ails their store.", registry=r
        )
        self.exposures = Counter(
            "honeyguide_exposures", "Answers of the exposure log: written, or lost.", ["outcome"], registry=r
        )
        self.arm_rows = Counter(
            "honeyguide_arm_answers", "Answers of a pipeline with arms, by arm.", ["pipeline", "arm"], registry=r
        )
        self.shadow_rows = Counter(
            "honeyguide_shadow_answers",
            "Answers that shadows were asked for: scored, failed, or dropped for want of time.",
            ["pipeline", "shadow", "outcome"],
            registry=r,
        )
        self.shadow_overlap = Histogram(
            "honeyguide_shadow_overlap",
            "Share of the items answered that a shadow would have answered, too, 0-1.",
            ["pipeline", "shadow"],
            buckets=_SHARES,
            registry=r,
        )
        self.circuit_open = Gauge(
            "honeyguide_circuit_open",
            "1: a stage that failed again and again is left out; 0: it is not.",
            ["pipeline", "stage"],
            registry=r,
        )
        self.circuit_opened = Counter(
            "honeyguide_circuit_opened", "Times that a stage began to be left out.", ["pipeline", "stage"], registry=r
        )
        self.degraded = Counter(
            "honeyguide_degraded", "Answers without a part of the pipeline.", ["reason"], registry=r
        )
        self.callers = Gauge("honeyguide_callers", "Callers that are known; 0: every call is let in.", registry=r)
        self.reloads = Counter(
            "honeyguide_reloads",
            "Times that changed files were read again, of tokens or tls: done, or failed, so that the old ones go on.",
            ["what", "outcome"],
            registry=r,
        )

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Measures one stage: "history", "retrieve", "rank", "rules", …; a stage that raises is not counted."""
        return _Timed(self.stage_seconds, name)

    def serving(self, model: str, version: int) -> None:
        """Notes the version of a model that serves now; 0: none."""
        if version:
            self.model_version.labels(model).set(version)
        else:
            self.model_version.remove(model)


class _Timed:
    """Adds to a histogram how long its block took. A generator would take four times as long to do so."""

    __slots__ = ("_histogram", "_label", "_start")

    def __init__(self, histogram: BatchHistogram, label: str) -> None:
        self._histogram, self._label = histogram, label

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._histogram.observe(self._label, perf_counter() - self._start)
