"""Statistics add up, and are of the version that answered."""

from __future__ import annotations

from honeyguide.server.oip.statistics import _MOST_MODELS, Durations, Statistics


def test_requests_rows_batches_and_failures_are_counted_by_version() -> None:
    statistics = Statistics()
    statistics.succeeded("m", 1, 3, Durations(0.1, 0.2, 0.3, 0.4))
    statistics.succeeded("m", 1, 1, Durations(0.1, 0.2, 0.3, 0.4))
    statistics.computed("m", 1, 4, 0.5)
    statistics.failed("m", 1, 2.0)
    one, two = statistics.of([("m", 1), ("m", 2)])
    assert (one.name, one.version, one.inference_count, one.execution_count) == ("m", "1", 4, 1)
    stats = one.inference_stats
    assert (stats.success.count, stats.success.ns) == (2, 2_000_000_000)
    assert (stats.queue.count, stats.queue.ns) == (2, 200_000_000)
    assert (stats.compute_input.ns, stats.compute_infer.ns, stats.compute_output.ns) == (4e8, 6e8, 8e8)
    assert (stats.fail.count, stats.fail.ns) == (1, 2_000_000_000)
    assert [(batch.batch_size, batch.compute_infer.count) for batch in one.batch_stats] == [(4, 1)]
    assert one.last_inference > 1_700_000_000_000
    assert (two.version, two.inference_count, two.last_inference, two.inference_stats.queue.count) == ("2", 0, 0, 0)


def test_versions_without_number_are_not_kept_for_ever() -> None:
    statistics = Statistics()
    for version in range(_MOST_MODELS + 5):
        statistics.failed("m", version, 0.1)
    assert len(statistics._counts) == _MOST_MODELS
    assert statistics.of([("m", 0)])[0].inference_stats.fail.count == 0
