"""Checks what the benchmark of serving makes of its figures: `bars.py`, h2load's and perf's words, raw requests."""

import json
import struct
from pathlib import Path

import pytest

from serving.bars import BARS, verdicts
from serving.bodies import INFER, read_best
from serving.h2load import parse
from serving.profile import shares
from serving.wire import encode

ROOT = Path(__file__).parents[3]
SUMMARY = """
finished in {time}, 4423.75 req/s, 954.67KB/s
requests: 8000 total, 8000 started, 8000 done, {succeeded} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 8000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.69MB (1767880) total, 28.13KB (28800) headers (space savings 95.56%), 1.34MB (1400000) data
"""


def medians(**changed: float) -> dict[tuple[str, str], dict[str, float]]:
    """Returns figures with which every ratio is 1, but for what is changed of K by 64 callers."""

    class Ones(dict):
        def __missing__(self, key):
            own = key == ("Honeyguide, native, 2 processes", "K, inline, 64 callers")
            return {"requests_per_s": 1.0, "p50_ms": 1.0, "cpu_ms": 1.0, "users_per_s": 1.0} | (changed if own else {})

    return Ones()


def test_a_bar_is_met_from_its_bound_on():
    at_bound = {verdict.what: verdict for verdict in verdicts(medians(requests_per_s=2.2, cpu_ms=0.8))}
    below = {verdict.what: verdict for verdict in verdicts(medians(requests_per_s=2.1, cpu_ms=0.81))}
    for bar in (
        "K, 64 callers, over Triton's best on the old graphs",
        "K, 64 callers, CPU of a request over Triton's, 2 processes and 2 instances",
    ):
        assert at_bound[bar].met
        assert not below[bar].met
    assert at_bound["K, 64 callers, over Triton's best"].value == 2.2


def test_what_was_not_measured_is_not_met():
    assert [(verdict.value, verdict.met) for verdict in verdicts({})] == [(None, False)] * len(BARS)


@pytest.mark.parametrize(("name", "ratio"), [("Triton, 1 instance", 0.5), ("Honeyguide, native", 2.0)])
def test_each_counts_by_its_best_setting(name, ratio):
    figures = medians()
    figures[name, "R, inline, 64 callers"] = {"requests_per_s": 2.0}
    (bar,) = [verdict for verdict in verdicts(figures) if verdict.what == "R, 64 callers, over Triton's best"]
    assert bar.value == ratio


def test_h2load_is_understood():
    summary = parse(SUMMARY.format(time="1.81s", succeeded=8000, failed=0))
    assert (summary.requests_per_s, summary.bytes) == (4423.75, 1_400_000)
    assert parse(SUMMARY.format(time="181.20ms", succeeded=8000, failed=0)).bytes == 1_400_000


def test_a_failed_call_is_no_result():
    with pytest.raises(RuntimeError, match=r"^1 of 8000 calls failed"):
        parse(SUMMARY.format(time="1.81s", succeeded=7999, failed=1))


def test_an_answer_must_have_ten_items_best_first():
    def answer(scores):
        rows, values = struct.pack("<10q", *range(10)), struct.pack("<10f", *scores)
        return encode((5, encode((1, "items"))), (5, encode((1, "scores"))), (6, rows), (6, values))

    items = [f"item-{row}" for row in range(10)]
    assert read_best(INFER, answer(range(10, 0, -1)), items).items == tuple(items)
    with pytest.raises(ValueError, match=r"^not ten different items, best first"):
        read_best(INFER, answer(range(10)), items)


@pytest.mark.parametrize("name", ["serving", "overload"])
def test_committed_results_say_how_they_were_made(name):
    file = ROOT / "benchmarks" / "results" / f"{name}.json"
    if not file.exists():
        pytest.skip("not measured yet")
    result = json.loads(file.read_text("utf-8"))
    assert result["commit"]
    assert result["command"].startswith("cd benchmarks && python -m serving")
    assert result["machine"]["cores"]


def test_time_is_shared_out_by_the_files_that_perf_names():
    report = (
        "# Overhead  Object\n    60.00%  onnxruntime_pybind11_state.so\n  30.00%  [kernel.kallsyms]\n  9.50%  x.so\n"
    )
    assert shares(report) == pytest.approx({"ONNX Runtime": 0.603, "kernel": 0.302, "other": 0.095}, abs=1e-3)
    with pytest.raises(RuntimeError, match="nothing that can be read"):
        shares("no samples")
