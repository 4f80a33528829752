"""Measures recommendation quality on MovieLens-1M: in torch, and through a real server over gRPC.

    python benchmarks/quality.py --data ml-1m_sasrec.txt --models transformer --seeds 0 1 2

The protocol of the sequential recommendation papers: each user's last item is the test target and the one before is for
validation; everything is fitted on what came before these two, and chosen on validation. The test input includes the
validation item, but no times. All items are ranked but those in the history; ties share the mean of their ranks.

What is done lies in the work folder, and a second call goes on from there: a killed training, too. Each call measures
the models and seeds it names and puts them in the place of their own former rows; the other rows stay. The joint
pipeline needs its retrievers of the same seed, which are trained if they are not there.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide import exporters, training
from honeyguide.client import Client, Ranked, UnavailableError, UserRow
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.metrics import per_user_at
from honeyguide.training.dataset import Dataset
from honeyguide.training.evaluation.stages import rank_targets
from honeyguide.training.runs.checkpoint import Checkpoint, load_checkpoint, read_checkpoint
from honeyguide.training.runs.retrievers import sources_of
from honeyguide.training.scoring.candidates import Source, retrieve
from record import machine

MODELS = ("cf", "gru", "attention_lstm", "transformer", "joint")
RETRIEVERS = ("attention_lstm", "transformer", "cf")
"""What retrieves for the joint ranker."""
MINUTES = {"cf": 7, "gru": 13, "attention_lstm": 17, "transformer": 15, "joint": 5}
"""About how long one seed of a model takes on two free cores."""
RECALL_AT = 200
USERS_A_BATCH = 128
Row = dict[str, Any]


def make(data: Path, work: Path, models: list[str], seeds: list[int]) -> Dataset:
    """Prepares, trains and exports what is not there yet."""
    if not (work / "data" / "dataset.json").exists():
        say(f"preparing {work / 'data'}")
        training.prepare(data, preset="movielens", out=work / "data")
    dataset = Dataset.open(work / "data")
    for model in needed(models):
        for seed in seeds:
            run = work / f"{model}-seed-{seed}"
            if not (run / "checkpoint.json").exists():
                say(f"training {run}")
                training.train(model, dataset, out=run, seed=seed, retriever=retrievers(work, model, seed))
            if not (left_out(run) or (work / "models" / run.name / "1").exists()):
                say(f"exporting {run}")
                exporters.export(run, dataset, repository=work / "models", name=run.name)
    return dataset


def say(text: str) -> None:
    """Tells a person who waits."""
    print(text, flush=True)


def needed(models: list[str]) -> list[str]:
    """Returns the models with what they need, in the order of `MODELS`."""
    everything = {*models, *(RETRIEVERS if "joint" in models else ())}
    return [model for model in MODELS if model in everything]


def left_out(run: Path) -> bool:
    """Whether a run is a joint ranker that was not better than its retrievers: there is nothing to export."""
    checkpoint = read_checkpoint(run)
    return bool(checkpoint.retrievers) and not checkpoint.candidates


def retrievers(work: Path, model: str, seed: int) -> list[Path]:
    """Returns the runs that retrieve for the joint model; none for any other."""
    return [work / f"{retriever}-seed-{seed}" for retriever in RETRIEVERS] if model == "joint" else []


def figures(ranks: NDArray[np.float64], data: EvaluationSet) -> Row:
    """Averages HR@10 and NDCG@10 over users, with their standard errors."""
    values = per_user_at(ranks, data.target_users, len(data), 10)
    row: Row = {"hr10": values["hr"].mean(), "ndcg10": values["ndcg"].mean()}
    row |= {f"{name}10_standard_error": values[name].std(ddof=1) / len(data) ** 0.5 for name in ("hr", "ndcg")}
    return {name: round(float(value), 5) for name, value in row.items()}


def in_torch(run: Path, host: PluginHost, dataset: Dataset) -> tuple[Checkpoint, dict[str, Row]]:
    """Measures each stage through the network: "popularity", "retrieve" and, where it has one, "rank"."""
    checkpoint, model, network = load_checkpoint(run, host)
    test = dataset.evaluation("test")
    sources = sources_of(run, checkpoint, host)
    popularity = dataset.items["popularity"].to_numpy()
    n = checkpoint.candidates
    stages = rank_targets(model, network, test, candidates=n, popularity=popularity, sources=sources)
    rows = {name: figures(stage.ranks, test) for name, stage in stages.items()}
    if sources and not n:  # its ranker was left out, so it serves nothing
        del rows["retrieve"]
    elif sources:  # the ceiling of what the ranker can reach: the targets among its candidates
        rows["rank"]["candidate_recall"] = round(joint_recall(sources, test, n), 5)
        del rows["retrieve"]  # the first source's, which has rows of its own
    else:
        hits = stages["retrieve"].ranks <= RECALL_AT
        rows["retrieve"][f"recall{RECALL_AT}"] = round(float(hits.mean()), 5)
    return checkpoint, rows


def joint_recall(sources: list[Source], test: EvaluationSet, n: int) -> float:
    """Returns the share of targets that one of the sources finds."""
    hits = 0
    for start in range(0, len(test), USERS_A_BATCH):
        part = test.take(np.arange(start, min(start + USERS_A_BATCH, len(test))))
        rows, _ = retrieve(sources, part.histories, n)
        hits += int((rows == part.target_items[:, None]).any(1).sum())
    return hits / len(test)


def served(client: Client, pipeline: str, dataset: Dataset) -> Row:
    """Measures a pipeline: every test user's history goes in, and the place of the target in the answer counts."""
    test = dataset.evaluation("test")
    ids = dataset.items["item_id"].to_numpy()
    histories = np.split(ids[test.histories.items], test.histories.offsets[1:-1])
    batches = (
        [UserRow(history=list(history)) for history in histories[start : start + USERS_A_BATCH]]
        for start in range(0, len(histories), USERS_A_BATCH)
    )
    targets = iter(ids[test.target_items])
    ranks: list[float] = []
    for answer in client.recommend_stream(batches, k=10, pipeline=pipeline, drop_seen=True):
        for row in answer.rows:
            if not isinstance(row, Ranked):
                raise SystemExit(f"a user was not answered: {row}")
            target = next(targets)
            ranks.append(row.item_ids.index(target) + 1 if target in row.item_ids else np.inf)
    return figures(np.array(ranks), test)


@contextmanager
def serving(work: Path, runs: dict[str, list[str]]) -> Iterator[Client]:
    """Runs a server with one pipeline for each stage of each run, "retrieve" or "rank".

    It is a process of its own, as in production: what is measured goes through nothing but gRPC.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    lines = [f'host = "127.0.0.1"\nport = {port}\nmetrics_port = -1\nlog_level = "warning"']
    lines += [f"repository = {json.dumps(str(work / 'models'))}\nevents = {json.dumps(str(work / 'events.db'))}"]
    for name, stages in runs.items():
        for stage in stages:
            lines.append(f'[pipelines.{name}-{stage}]\nmodel = "{name}"\nrank = {str(stage == "rank").lower()}')
    config = work / "serve.toml"
    config.write_text("\n".join(lines) + "\n", "utf-8")
    server = subprocess.Popen([sys.executable, "-m", "honeyguide.cli", "serve", "--config", str(config)])
    try:
        with Client(f"127.0.0.1:{port}") as client:
            until = time.monotonic() + 60
            while True:
                try:
                    client.models()
                    break
                except UnavailableError:
                    if server.poll() is not None or time.monotonic() > until:
                        raise
                    time.sleep(0.2)
            yield client
    finally:
        server.terminate()
        server.wait(30)


def measure(work: Path, dataset: Dataset, models: list[str], seeds: list[int]) -> tuple[list[Row], list[Row]]:
    """Returns the rows, and what training said of each run."""
    host = PluginHost.load()
    common = {"users": len(dataset.evaluation("test")), "items": dataset.spec.items}
    measured = {(m, s): in_torch(work / f"{m}-seed-{s}", host, dataset) for m in models for s in seeds}
    baseline = next(iter(measured.values()))[1]["popularity"]
    head = {"model": "popularity", "stage": "retrieve", "path": "torch", "seed": 0}
    rows = [head | baseline | {"train_seconds": 0.0} | common]
    runs = []
    own = {f"{m}-seed-{s}": [x for x in stages if x != "popularity"] for (m, s), (_, stages) in measured.items()}
    with serving(work, own) as client:
        for (model, seed), (checkpoint, stages) in measured.items():
            spent = {"train_seconds": checkpoint.report["seconds"]}
            for stage in own[f"{model}-seed-{seed}"]:
                paths = {"torch": stages[stage], "served": served(client, f"{model}-seed-{seed}-{stage}", dataset)}
                for path, values in paths.items():
                    head = {"model": model, "stage": stage, "path": path, "seed": seed}
                    rows.append(head | values | spent | common)
            validation = {k: round(v, 5) for k, v in checkpoint.metrics.items() if k.endswith(("/hr@10", "/ndcg@10"))}
            said = {"ranker": checkpoint.report["ranker"], "resumed": checkpoint.report.get("resumed", False)}
            when = {"command": command(model, seed), "date": datetime.now(UTC).isoformat(timespec="seconds")}
            runs.append(
                {"model": model, "seed": seed, "epochs": checkpoint.epochs, "validation": validation}
                | said
                | when
                | {"machine": machine()}
            )
    return rows, runs


def command(model: str, seed: int) -> str:
    """Returns the command that makes one model's rows."""
    return f"python benchmarks/quality.py --data ml-1m_sasrec.txt --models {model} --seeds {seed}"


def merged(out: Path, rows: list[Row], runs: list[Row]) -> dict[str, Any]:
    """Returns the result with the new rows in the place of those of the same models and seeds."""
    former = json.loads(out.read_text("utf-8")) if out.exists() else {"rows": [], "runs": []}
    new = {(row["model"], row["seed"]) for row in rows}

    def all_of(kind: str, fresh: list[Row]) -> list[Row]:
        others = [row for row in former[kind] if (row["model"], row["seed"]) not in new]
        order = ["popularity", *MODELS]
        return sorted([*others, *fresh], key=lambda row: (order.index(row["model"]), row["seed"]))  # stable

    everything = all_of("rows", rows)
    error = {k: max(row[f"{k}_standard_error"] for row in everything) for k in ("hr10", "ndcg10")}
    return {"standard_error": error, "rows": everything, "runs": all_of("runs", runs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="ml-1m_sasrec.txt: a user and an item a line, in order"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/quality-ml-1m.json"))
    parser.add_argument("--work", type=Path, default=Path("runs/bench-quality"), help="folder for all that is made")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    minutes = sum(MINUTES[model] for model in needed(arguments.models)) * len(arguments.seeds)
    print(f"about {minutes} minutes on two free cores, less what already lies in {arguments.work}", flush=True)
    dataset = make(arguments.data, arguments.work, arguments.models, arguments.seeds)
    rows, runs = measure(arguments.work, dataset, arguments.models, arguments.seeds)
    result = merged(arguments.out, rows, runs)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    for row in rows:
        what = f"{row['model']:<14} {row['stage']:<9} {row['path']:<7} seed {row['seed']}"
        print(f"{what} HR@10 {row['hr10']:.4f} NDCG@10 {row['ndcg10']:.4f}")


if __name__ == "__main__":
    main()
