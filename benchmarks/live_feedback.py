"""Shows how the answer to one visitor changes with what is recorded: after 1, 2 and 5 events, and a dislike.

    python benchmarks/live_feedback.py --out benchmarks/results/live_feedback.json

The films and their log are made up: whoever stays with a film goes on in its genre, whoever leaves it at once tries
another genre. A model that reads how long somebody stayed has to find that out; it takes under a minute.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from honeyguide import exporters, training
from honeyguide.server import open_repository
from record import machine

GENRES = ("drama", "comedy", "western")
FILMS, VISITS, EPOCHS, K = 20, 1000, 15, 10
PIPELINE = {"model": "films", "negative_types": ["dislike"], "negative_weight": 1.0}
STEPS: tuple[tuple[str, tuple[dict[str, Any], ...]], ...] = (
    ("nothing yet", ()),
    ("1 event: a drama, 50 minutes", ({"item_id": "drama 1", "dwell_seconds": 3000.0},)),
    ("2 events: a comedy, left after 5 seconds", ({"item_id": "comedy 2", "dwell_seconds": 5.0},)),
    (
        "5 events: three westerns, 50 minutes each",
        tuple({"item_id": f"western {number}", "dwell_seconds": 3000.0} for number in (3, 4, 5)),
    ),
    ("a western, disliked", ({"item_id": "western 6", "event_type": "dislike"},)),
)


def visit(dice: random.Random) -> Iterator[tuple[str, float]]:
    """Yields what somebody watches, and for how many seconds."""
    genre = dice.choice(GENRES)
    for _ in range(dice.randint(8, 14)):
        stays = dice.random() < 0.6
        yield f"{genre} {dice.randint(1, FILMS)}", dice.uniform(600, 6000) if stays else dice.uniform(2, 30)
        genre = genre if stays else dice.choice([other for other in GENRES if other != genre])


def rows_of(repository: Path, events: Path) -> list[dict[str, Any]]:
    """Records step by step, and counts after each the genres among the first items."""
    rows = []
    with open_repository(repository, events=events, pipelines={"home": PIPELINE}) as server:
        for what, recorded in STEPS:
            for event in recorded:
                server.record_event("ann", **event)
            items = [item.item_id for item in server.recommend("ann", k=K).items]
            counts = {genre: sum(item.startswith(genre) for item in items) for genre in GENRES}
            rows.append({"what": what} | counts)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Shows what recorded events change.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    system = machine(polars=pl.__version__)
    dice = random.Random(0)  # noqa: S311  # nothing depends on its being secret
    log = [(f"u{n}", item, at, dwell) for n in range(VISITS) for at, (item, dwell) in enumerate(visit(dice))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pl.DataFrame(log, ("user", "item", "time", "dwell"), orient="row").write_parquet(folder / "log.parquet")
        data = training.prepare(
            folder / "log.parquet",
            out=folder / "data",
            user="user",
            item="item",
            time="time",
            time_unit="seconds",
            dwell="dwell",
            repeats="yes",
        )
        run = training.train(
            "gru", data, out=folder / "run", epochs=EPOCHS, candidates=0, option={"dimension": 16}, seed=0
        )
        exporters.export(run.folder, data, repository=folder / "models", name="films")
        rows = rows_of(folder / "models", folder / "events.db")
    result = {
        "command": "python benchmarks/live_feedback.py",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": system,
        "model": {"name": "gru", "epochs": EPOCHS},
        "pipeline": PIPELINE,
        "k": K,
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
