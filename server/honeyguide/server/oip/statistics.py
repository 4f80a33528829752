"""Counts what models have answered, and how long it took, as the protocol's statistics tell it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from honeyguide.oip.v2 import inference_pb2 as pb

__all__ = ["Durations", "Statistics"]

_MOST_MODELS = 1000
"""Versions of models that are counted; beyond, the oldest are forgotten."""


@dataclass(slots=True)
class Durations:
    """Seconds that one request, or one batch, took in its parts."""

    queue: float = 0.0
    """Waiting."""
    read: float = 0.0
    infer: float = 0.0
    write: float = 0.0

    @property
    def total(self) -> float:
        """From arrival to answer."""
        return self.queue + self.read + self.infer + self.write


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    failures: int = 0
    rows: int = 0
    last_ms: int = 0
    sums: Durations = field(default_factory=Durations)
    failure_seconds: float = 0.0
    batches: dict[int, tuple[int, float]] = field(default_factory=dict)
    """By rows computed at once: how often, and in how many seconds."""


class Statistics:
    """Counters of every version of every model since the server started; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, int], _Counts] = {}

    def succeeded(self, name: str, version: int, rows: int, took: Durations) -> None:
        """Notes a request that was answered."""
        with self._lock:
            counts = self._of(name, version)
            counts.requests += 1
            counts.rows += rows
            counts.last_ms = time.time_ns() // 1_000_000
            sums = counts.sums
            sums.queue += took.queue
            sums.read += took.read
            sums.infer += took.infer
            sums.write += took.write

    def failed(self, name: str, version: int, seconds: float) -> None:
        """Notes a request that failed."""
        with self._lock:
            counts = self._of(name, version)
            counts.failures += 1
            counts.failure_seconds += seconds

    def computed(self, name: str, version: int, rows: int, seconds: float) -> None:
        """Notes rows that were computed at once, whichever requests they belong to."""
        with self._lock:
            batches = self._of(name, version).batches
            count, before = batches.get(rows, (0, 0.0))
            batches[rows] = count + 1, before + seconds

    def of(self, models: Iterable[tuple[str, int]]) -> list[pb.ModelStatistics]:
        """Tells what is known of some models, by name and version; zeros of one that was never asked."""
        with self._lock:
            return [_message(name, version, self._counts.get((name, version), _Counts())) for name, version in models]

    def _of(self, name: str, version: int) -> _Counts:
        key = name, version
        if key not in self._counts:
            if len(self._counts) >= _MOST_MODELS:
                del self._counts[next(iter(self._counts))]
            self._counts[key] = _Counts()
        return self._counts[key]


def _message(name: str, version: int, counts: _Counts) -> pb.ModelStatistics:
    requests, sums = counts.requests, counts.sums
    return pb.ModelStatistics(
        name=name,
        version=str(version),
        last_inference=counts.last_ms,
        inference_count=counts.rows,
        execution_count=sum(count for count, _ in counts.batches.values()),
        inference_stats=pb.InferStatistics(
            success=_duration(requests, sums.total),
            fail=_duration(counts.failures, counts.failure_seconds),
            queue=_duration(requests, sums.queue),
            compute_input=_duration(requests, sums.read),
            compute_infer=_duration(requests, sums.infer),
            compute_output=_duration(requests, sums.write),
        ),
        batch_stats=[
            pb.InferBatchStatistics(batch_size=rows, compute_infer=_duration(count, seconds))
            for rows, (count, seconds) in sorted(counts.batches.items())
        ],
    )


def _duration(count: int, seconds: float) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=round(seconds * 1e9))
