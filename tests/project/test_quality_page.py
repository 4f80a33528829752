"""Reads the page of quality over results with a known answer."""

from __future__ import annotations

import json
from pathlib import Path

import quality_page
from generate import table


def row(suite: str, model: str, seed: int, hr: float, ndcg: float, path: str = "served") -> dict[str, object]:
    errors = {"hr10_standard_error": 0.006, "ndcg10_standard_error": 0.004}
    head = {"suite": suite, "model": model, "stage": "rank", "path": path, "seed": seed, "targets": "all"}
    return head | {"hr10": hr, "ndcg10": ndcg, "train_seconds": 1.0} | errors


def run(suite: str, model: str, seed: int, validation: float) -> dict[str, object]:
    made = {"command": "c", "date": "2026-01-01T00", "machine": {"cpu": "x", "cores": 2}, "resumed": False}
    said = {"ranker": "kept", "validation": {"rank/ndcg@10": validation}, "transitions": ""}
    return {"suite": suite, "model": model, "seed": seed} | made | said


def test_bars_are_told_of_the_pipeline_that_validation_chose(tmp_path: Path) -> None:
    rows = [row("ml-1m", "good", s, 0.360, 0.216) for s in range(3)] + [row("ml-1m", "lucky", 0, 0.9, 0.9)]
    rows += [row("ml-1m", "popularity", 0, 0.04, 0.02, "counted"), row("ml-1m", "mlp", 0, 0.05, 0.02)]
    runs = [run("ml-1m", "good", s, 0.3) for s in range(3)] + [run("ml-1m", "lucky", 0, 0.2)]
    over = {"suite": "ml-1m", "targets": "all", "model": "mlp", "over": "transitions", "seeds": [0]}
    over["stages"] = ["rank/served", "retrieve/counted"]
    over |= {"hr10": [-0.2, -0.3, -0.1], "ndcg10": [-0.1, -0.2, -0.05]}
    rows += [row("beauty", "cf", 0, 0.01, 0.01)]
    runs += [run("beauty", "cf", 0, 0.1)]
    result = {"rows": rows, "runs": runs, "differences": [over]}
    (tmp_path / "quality-ml-1m.json").write_text(json.dumps(result))
    page = quality_page.page(tmp_path, "", table)
    bar = "| MovieLens-1M, leave-one-out, no times | good, rank | 3 | 0.3600 ± 0.0000 | 0.2160 ± 0.0000 |"
    assert f"{bar} .357 / .215 | .370 / .222 | minimum met, aim missed |" in page
    assert "| .0974 / .0588 | .106 / .063 | missed; 1 of 3 seeds |" in page
    assert "| mlp | rank | 0.0500 | 1.2 | missed; NDCG@10 over transitions -0.1000 [-0.2000, -0.0500] |" in page
    assert page.count("not measured yet") == 8  # two bars, four families, text and joint
    assert page.count("Not measured yet.") == 3  # sections
