"""Measures how well items that no model met in training are recommended, through a server that they are added to.

    python benchmarks/cold_items.py --data FOLDER --only ml-1m

A tenth of the items is held out of training, with every event of theirs; so is each user's last basket. Then a server
gets the held-out items by `UpsertItems`, and is asked for users whose last basket holds some of them, which rank among
the held-out items alone. Beside it: chance, and the items of the categories that the user met most. A model takes about
ten minutes on two free cores; what is done is kept, and not made again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from quality.served import serving

from honeyguide import exporters, training
from honeyguide.client import Client, History, NewItem
from honeyguide.training.evaluation.differences import paired_difference
from record import machine

K = 50
SHARE = 0.1
"""Of the items, held out."""
LEAST_OVER_CHANCE = 3.0
_SEED = 0
_PLACED_AT_ONCE = 500
_FIRST_MS = 1_500_000_000_000
Recalls = NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """Events and items of one source."""

    events: pl.DataFrame
    """user_id, item_id and basket, ascending within a user."""
    items: pl.DataFrame
    """item_id, title, categories (list)."""


@dataclass(frozen=True)
class Case:
    """One user who is asked for."""

    history: list[str]
    targets: set[str]


def _ml_1m(folder: Path) -> Data:
    log = pl.read_parquet(folder / "ml-1m" / "interactions.parquet").sort("user_id", "pos")
    lines = [line.split("::") for line in (folder / "ml-1m" / "movies.dat").read_text("latin-1").splitlines()]
    films = pl.DataFrame(lines, schema=["item_id", "title", "categories"], orient="row")
    return Data(
        log.select(pl.col("user_id", "movie_id").cast(pl.String), basket="pos").rename({"movie_id": "item_id"}),
        films.with_columns(pl.col("categories").str.split("|")),
    )


def _retail(folder: Path) -> Data:
    log = pl.read_csv(folder / "online-retail" / "events_full.csv.gz", infer_schema=False)
    items = pl.read_csv(folder / "online-retail" / "items.csv", infer_schema=False)
    # There are no categories; the last word of a description mostly says what a thing is: "… LUNCH BAG".
    last = pl.col("title").fill_null("").str.strip_chars().str.to_lowercase().str.split(" ").list.last()
    return Data(
        log.select("user_id", "item_id", basket=pl.col("ts").cast(pl.Int64)).sort("user_id", "basket"),
        items.select("item_id", pl.col("title").fill_null(""), categories=pl.concat_list(last)),
    )


SOURCES: Mapping[str, Callable[[Path], Data]] = {"ml-1m": _ml_1m, "online-retail": _retail}
MODELS: Mapping[str, Sequence[tuple[str, str, Mapping[str, Any]]]] = {
    "ml-1m": (
        ("text", "text", {}),
        ("content", "content", {}),
        ("transformer-text", "transformer", {"items": "text,content"}),
    ),
    "online-retail": (
        ("text", "text", {}),
        ("text-words", "text", {"items": "text,words", "dropout": 0.5}),
        ("transformer-text", "transformer", {"items": "text"}),
    ),
}
"""Label, model and options by source."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with ml-1m and online-retail")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cold-items.json")
    parser.add_argument(
        "--work", type=Path, default=Path("build/cold-items"), help="where data, runs and rows are kept"
    )
    parser.add_argument("--only", choices=SOURCES, help="one source alone")
    parser.add_argument("--models", nargs="*", default=[], help="labels; the others are left out")
    parser.add_argument("--epochs", type=int, help="at most, for a trial")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for source, read in SOURCES.items():
        if arguments.only in (None, source):
            rows += _measure(source, read(arguments.data), arguments)
    if not rows:
        return 1
    before = json.loads(arguments.out.read_text())["rows"] if arguments.out.exists() else []
    fresh = {(row["data"], row["model"]) for row in rows}
    rows = [row for row in before if (row["data"], row["model"]) not in fresh] + rows
    result = {
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python benchmarks/cold_items.py",
        "k": K,
        "held_out": SHARE,
        "rows": sorted(rows, key=lambda row: (row["data"], row["model"])),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for row in rows:
        print(f"{row['data']:<14} {row['model']:<17} recall@{K} {row['recall']:.3f}, {row['over_chance']:.1f} x chance")
    return 0 if all(row["met"] for row in rows if row["model"] not in ("chance", "same category")) else 1


def _measure(source: str, data: Data, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    work = (arguments.work / source).resolve()
    work.mkdir(parents=True, exist_ok=True)
    held, kept, cases = split(data)
    recalls = by_category(data, held, cases)
    chance = min(1.0, K / len(held))
    common = {"data": source, "held_out_items": len(held), "users": len(cases), "seed": _SEED}
    rows = [
        common | {"model": "chance", "recall": chance, "over_chance": 1.0, "met": True},
        common | _row("same category", recalls, chance),
    ]
    for label, model, options in MODELS[source]:
        if arguments.models and label not in arguments.models:
            continue
        file = work / f"{label}.json"
        if not file.exists():
            started = perf_counter()
            own = _served(work, label, model, options, data, held, kept, cases, arguments.epochs)
            seconds = round(perf_counter() - started)
            file.write_text(json.dumps({"recalls": own.tolist(), "seconds": seconds}))
        done = json.loads(file.read_text())
        own = np.array(done["recalls"])
        over = paired_difference(recalls, own, _SEED)
        row = common | _row(label, own, chance) | {"options": dict(options), "seconds": done["seconds"]}
        row |= {"over_category": round(over.gain, 4), "interval": [round(over.low, 4), round(over.high, 4)]}
        rows.append(row | {"met": row["over_chance"] >= LEAST_OVER_CHANCE and over.low > 0})
    return rows


def _row(model: str, recalls: Recalls, chance: float) -> dict[str, Any]:
    recall = float(recalls.mean())
    return {"model": model, "recall": round(recall, 4), "over_chance": round(recall / chance, 2), "met": True}


def split(data: Data) -> tuple[set[str], pl.DataFrame, list[Case]]:
    """Returns the held-out items, the events that may be trained on, and the users to ask for.

    An item is held out by chance, among those that have a row of the catalogue and five events.
    """
    counts = data.events.group_by("item_id").len().filter(pl.col("len") >= 5)
    there = sorted(set(counts["item_id"]) & set(data.items["item_id"]))
    held = set(random.Random(_SEED).sample(there, round(SHARE * len(there))))  # noqa: S311  # a split
    last = pl.col("basket") == pl.col("basket").max().over("user_id")
    events = data.events.with_columns(last=last, held=pl.col("item_id").is_in(list(held)))
    kept = events.filter(~pl.col("last") & ~pl.col("held"))
    kept = kept.filter(pl.len().over("user_id") >= 5)
    histories = dict(kept.group_by("user_id", maintain_order=True).agg("item_id").iter_rows())
    targets = events.filter(pl.col("last") & pl.col("held")).group_by("user_id", maintain_order=True).agg("item_id")
    cases = [Case(histories[user], set(own)) for user, own in targets.iter_rows() if user in histories]
    return held, kept.select("user_id", "item_id", "basket"), cases


def by_category(data: Data, held: set[str], cases: Sequence[Case]) -> Recalls:
    """Returns each user's recall where held-out items are ranked by how often the user met their categories.

    An item counts with the mean over its categories; equal ones stand in an order of chance.
    """
    names = sorted({name for own in data.items["categories"] if own is not None for name in own})
    code = {name: place for place, name in enumerate(names)}
    items = {
        item: [code[name] for name in own or []] for item, own in data.items.select("item_id", "categories").iter_rows()
    }
    order = sorted(held)
    member = np.zeros((len(order), len(names)))
    for place, item in enumerate(order):
        if own := items.get(item):
            member[place, own] = 1 / len(own)
    dice = np.random.default_rng(_SEED)
    recalls = []
    for case in cases:
        met = np.zeros(len(names))
        for item in case.history:
            met[items.get(item) or []] += 1
        scores = member @ met
        best = np.lexsort((dice.random(len(order)), -scores))[:K]
        recalls.append(_recall(case, [order[place] for place in best]))
    return np.array(recalls)


def _served(
    work: Path,
    label: str,
    model: str,
    options: Mapping[str, Any],
    data: Data,
    held: set[str],
    kept: pl.DataFrame,
    cases: Sequence[Case],
    epochs: int | None,
) -> Recalls:
    """Trains on what is kept, serves it, adds the held-out items, and asks."""
    log, items = work / "log.parquet", work / "items.parquet"
    # The order is all that counts: the nth event of a user is n seconds after a moment of all.
    times = (_FIRST_MS + 1000 * pl.int_range(pl.len()).over("user_id")).alias("time_ms")
    kept.with_columns(times).write_parquet(log)
    data.items.with_columns(pl.col("categories").list.join("|")).write_parquet(items)
    folder = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=work))
    columns = {"user": "user_id", "item": "item_id", "time": "time_ms", "time_unit": "milliseconds"}
    known = {"items": items, "item_id": "item_id", "title": "title", "categories": "categories", "repeats": "no"}
    dataset = training.prepare(log, out=folder / "data", **columns, **known)
    fit = {} if epochs is None else {"epochs": epochs}
    run = training.train(model, dataset, out=folder / "run", option=dict(options), **fit)
    exporters.export(run, dataset, repository=folder / "models", name="cold")
    new = data.items.filter(pl.col("item_id").is_in(list(held))).unique("item_id")
    with serving(folder, "cold", ["retrieve"]) as client:
        added = [NewItem(item, title, categories or []) for item, title, categories in new.iter_rows()]
        for start in range(0, len(added), _PLACED_AT_ONCE):
            client.upsert_items(added[start : start + _PLACED_AT_ONCE], timeout=600)
        recalls = np.array([_recall(case, _asked(client, case, sorted(held))) for case in cases])
        client.delete_items([item.item_id for item in added])
    shutil.rmtree(folder)
    return recalls


def _asked(client: Client, case: Case, held: list[str]) -> list[str]:
    answer = client.recommend(history=History(case.history[-4096:]), k=K, pipeline="retrieve", allow=held)
    items = [item.item_id for item in answer if item.source == "NEW"]
    if len(items) < min(K, len(held)):
        raise RuntimeError(f"{len(items)} of the held-out items were answered: {answer}")
    return items


def _recall(case: Case, answered: Sequence[str]) -> float:
    return len(case.targets & set(answered)) / len(case.targets)


if __name__ == "__main__":
    sys.exit(main())
