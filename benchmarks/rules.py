"""Measures what each rule does to accuracy, variety and novelty, on the embedded purchases; it takes under a minute.

    python benchmarks/rules.py --out benchmarks/results/rules.json

The purchases name no categories, so the last word of a product's title stands for one where ten titles share it: what
the thing is, mostly (HOLDER, BOX, MUG). No ranker is trained: the rules reorder what `cf` retrieves.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from honeyguide import training
from honeyguide.training.preparation.presets import demo_sources
from record import machine

RULES = (
    "diversity:trade_off=0.9",
    "diversity",
    "diversity:trade_off=0.5",
    "category_cap:cap=2",
    "category_cap:cap=1",
    "seen:newest=20",
    "seen",
)
EPOCHS = 3
FIGURES = ("hr@10", "ndcg@10", "diversity@10", "categories@10", "novelty@10", "coverage@10")


def with_categories(items: Path, out: Path) -> Path:
    """Writes the items with a column ``kind``."""
    last = pl.col("title").str.split(" ").list.last()
    shared = pl.len().over(last) >= 10
    pl.read_parquet(items).with_columns(kind=pl.when(shared).then(last).otherwise(pl.lit(""))).write_parquet(out)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the effect of the built-in rules.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    system = machine(polars=pl.__version__)
    with tempfile.TemporaryDirectory() as name:
        items = with_categories(demo_sources()[1], Path(name, "items.parquet"))
        data = training.prepare(preset="demo", items=items, categories="kind", out=Path(name, "data"))
        run = training.train("cf", data, out=Path(name, "run"), epochs=EPOCHS, candidates=0)
        table = training.evaluate(run, data, k=[10], rule=RULES)
    rows = [
        {"what": stage["stage"]} | {figure.replace("@", ""): round(stage[figure], 4) for figure in FIGURES}
        for stage in table.iter_rows(named=True)
    ]
    (users,), (hit_rate,) = table.filter(pl.col("stage") == "retrieve").select("users", "hr@10")
    result = {
        "command": "python benchmarks/rules.py",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": system,
        "data": {"dataset": data.name, "split": "test", "users": users, "items": data.spec.items},
        "model": {"name": "cf", "epochs": EPOCHS},
        "standard_error": {"hr10": round((hit_rate * (1 - hit_rate) / users) ** 0.5, 4)},
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
