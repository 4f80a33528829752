"""Checks that pictures are to scale, and that the page of speed tells what a run measured."""

import json
import re

import plots
import serving_page


def places(picture: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf'<circle [^>]*{name}="([\d.]+)"', picture)]


def test_a_tenth_is_as_far_everywhere_on_a_log_axis():
    rows = [(str(value), {"R": (value, value, value)}) for value in (1.0, 10.0, 100.0)]
    _legend, one, ten, hundred = places(plots.dots("title", "unit", rows), "cx")
    assert abs((ten - one) - (hundred - ten)) < 0.2
    assert ten > one


def test_an_even_axis_begins_at_zero_and_rises_are_upward():
    picture = plots.lines("title", ("x", "y"), {"a": [(0.0, 1.0), (5.0, 10.0), (10.0, 100.0)]}, even=True)
    (first, second, third, _), heights = places(picture, "cx"), places(picture, "cy")[:3]
    assert abs((second - first) - (third - second)) < 0.2
    assert heights == sorted(heights, reverse=True)


def test_a_bar_that_was_not_measured_is_not_called_missed(tmp_path):
    bars = [
        {"what": "one", "value": 2.0, "bound": 1.7, "least": True, "met": True},
        {"what": "two", "value": 0.9, "bound": 0.8, "least": False, "met": False},
        {"what": "three", "value": None, "bound": 1.3, "least": True, "met": False},
    ]
    rate = {"median": 100.0, "least": 90.0, "most": 110.0}
    row = {"subject": "a server", "measure": "R, inline, 64 callers", "requests_per_s": rate, "p50_ms": rate}
    result = {
        "machine": {"cpu": "a processor", "cores": 2, "python": "3", "load_before": 0.0},
        "date": "2026-01-01",
        "commit": "abc",
        "command": "cd benchmarks && python -m serving",
        "seconds": 60,
        "bars": bars,
        "rows": [row | {"cpu_ms": rate}],
    }
    (tmp_path / "serving.json").write_text(json.dumps(result))

    def table(columns, rows):
        return "".join(f"{' | '.join(map(str, cells))}\n" for cells in rows)

    (text,) = serving_page.sections(tmp_path, table)
    assert "1 of 3 bars are met" in text
    for line in ("one | 2 | ≥ 1.7 | met", "two | 0.9 | ≤ 0.8 | **missed**", "three | – | ≥ 1.3 | **not measured**"):
        assert line in text
    assert "a server |  |  | 100 (100) |  |  | \n" in text
    assert "a server" in serving_page.plots(tmp_path)["speed-throughput.svg"]
