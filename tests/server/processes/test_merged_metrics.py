"""Metrics of several processes become one page."""

from __future__ import annotations

from honeyguide.server.processes.merged_metrics import merge

PAGE = """# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{method="a\\"b"} %s
# HELP waiting Waiting.
# TYPE waiting gauge
waiting 3.0
"""


def test_each_sample_says_its_process_and_each_metric_stands_once() -> None:
    metrics = merge({"0": PAGE % 1, "1": PAGE % 2})
    assert [(metric.name, metric.type) for metric in metrics] == [("calls", "counter"), ("waiting", "gauge")]
    assert [(s.name, s.labels, s.value) for s in metrics[0].samples] == [
        ("calls_total", {"method": 'a"b', "process": "0"}, 1),
        ("calls_total", {"method": 'a"b', "process": "1"}, 2),
    ]
