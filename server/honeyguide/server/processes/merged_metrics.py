"""Answers Prometheus for all processes at once: each metric has the label ``process``."""

from __future__ import annotations

import asyncio
import contextlib

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from honeyguide.server.ops.endpoint import MetricsEndpoint
from honeyguide.server.processes.supervisor import Supervisor

__all__ = ["MergedMetrics", "merge"]

_SECONDS = 5.0
"""How long the supervisor gets to ask them all."""


class MergedMetrics(Collector):
    """Metrics of a supervisor's processes, asked for at each scrape."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Must be made on the supervisor's event loop; scrapes come from other threads."""
        self._supervisor, self._loop = supervisor, asyncio.get_running_loop()

    def answer(self, host: str, port: int) -> MetricsEndpoint:
        """Answers scrapes from now on; raises `ConfigError` where the port cannot be had."""
        registry = CollectorRegistry()
        registry.register(self)
        return MetricsEndpoint(registry, host, port)

    def describe(self) -> list[Metric]:
        """Names nothing before the first scrape."""
        return []

    def collect(self) -> list[Metric]:
        """Asks every process."""
        with contextlib.suppress(TimeoutError):
            asked = asyncio.run_coroutine_threadsafe(self._supervisor.metrics(), self._loop)
            return merge(asked.result(_SECONDS))
        return []


def merge(texts: dict[str, str]) -> list[Metric]:
    """Joins metrics in Prometheus' text form; the keys become the label ``process``."""
    merged: dict[str, Metric] = {}
    for process, text in texts.items():
        for family in text_string_to_metric_families(text):
            metric = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                metric.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)
    return list(merged.values())
