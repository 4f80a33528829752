"""A histogram of ours shows Prometheus what the library's own shows."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from honeyguide.server.ops.histograms import BatchHistogram

BUCKETS = (0.5, 1.0, 2.0)


def shown(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_values_counted_together_are_what_the_library_counts_one_by_one() -> None:
    own, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = BatchHistogram("seconds", "How long.", "stage", BUCKETS, own)
    library = Histogram("seconds", "How long.", ["stage"], buckets=BUCKETS, registry=theirs)
    for stage, values in (("a", [0.5]), ("b", [0.1, 1.0, 1.5, 2.0, 7.0]), ("a", [0.25, 0.75])):
        histogram.observe(stage, *values)
        for value in values:
            library.labels(stage).observe(value)
    assert shown(own) == shown(theirs)
    assert own.get_sample_value("seconds_bucket", {"stage": "b", "le": "1.0"}) == 2


def test_nothing_is_shown_before_something_is_counted() -> None:
    registry = CollectorRegistry()
    BatchHistogram("seconds", "How long.", "stage", BUCKETS, registry)
    assert registry.get_sample_value("seconds_count", {"stage": "a"}) is None
