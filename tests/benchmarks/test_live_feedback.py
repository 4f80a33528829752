"""The figures of the page about live feedback say what `benchmarks/live_feedback.py` set out to show."""

from __future__ import annotations

import json
from pathlib import Path

RESULT = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "live_feedback.json").read_text("utf-8"))


def test_each_event_moves_the_answer_as_it_should() -> None:
    new, stayed, left, westerns, disliked = RESULT["rows"]
    assert max(new[genre] for genre in ("drama", "comedy", "western")) <= 5
    assert stayed["drama"] >= 8
    assert left["comedy"] == 0  # five seconds say that it is the wrong genre
    assert westerns["western"] >= 8
    assert disliked["western"] <= westerns["western"] // 2
