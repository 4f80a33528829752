"""Counts values in histograms, those of a batch at once: prometheus_client takes two locks and seven calls for each."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

__all__ = ["BatchHistogram"]


class BatchHistogram(Collector):
    """Histogram by one label, as Prometheus sees it: of each value of the label a count by bucket, and a sum."""

    def __init__(
        self, name: str, documentation: str, label: str, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        """Registers it; ``buckets``: the largest value that each counts, ascending; there is one more for all above."""
        self._name, self._documentation, self._label, self._bounds = name, documentation, label, buckets
        self._lock = threading.Lock()
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(buckets) + 1))
        self._sums: defaultdict[str, float] = defaultdict(float)
        registry.register(self)

    def observe(self, label: str, *values: float) -> None:
        """Counts values."""
        with self._lock:
            counts = self._counts[label]
            for value in values:
                counts[bisect_left(self._bounds, value)] += 1
                self._sums[label] += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yields what was counted, for a registry."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=[self._label])
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        with self._lock:
            series = [(label, list(counts), self._sums[label]) for label, counts in self._counts.items()]
        for label, counts, total in series:
            family.add_metric([label], [*zip(names, accumulate(counts), strict=True)], total)
        yield family
