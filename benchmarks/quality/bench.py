"""Makes a suite's rows one by one, in a folder that keeps all of it: data, runs, bundles, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide import exporters, training
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.training.dataset import Dataset
from honeyguide.training.evaluation.baselines import POPULARITY, TRANSITIONS
from honeyguide.training.evaluation.stages import rank_targets
from honeyguide.training.runs.checkpoint import Checkpoint, load_checkpoint, read_checkpoint
from honeyguide.training.runs.retrievers import sources_of
from quality.figures import candidate_recall, counted_ranks, figures, user_values
from quality.keeping import Kept, differences, merge
from quality.served import served_ranks, serving
from quality.suites import SUITES, Entry
from record import machine

__all__ = ["Bench", "say"]

_RECALL_AT = 200


class Bench:
    """One suite in its work folder."""

    def __init__(self, name: str, data: Path, work: Path) -> None:
        self.name, self.suite, self.work = name, SUITES[name], work
        self.host = PluginHost.load()
        work.mkdir(parents=True, exist_ok=True)
        if not (work / "data" / "dataset.json").exists():
            say(f"preparing {work / 'data'}")
            self.suite.prepare(data, work, work / "data")
        self.dataset = Dataset.open(work / "data")

    def count(self) -> None:
        """Measures what only counts: popularity and transitions."""
        tables = {name: _Table(self, name, 0) for name in (POPULARITY, TRANSITIONS)}
        if not Kept(self.work, TRANSITIONS, 0).done:
            say("counting popularity and transitions")
            for asked, test in self.tests():
                for name, ranks in counted_ranks(self.dataset, test).items():
                    tables[name].add("retrieve", "counted", asked, test, ranks)
            for table in tables.values():  # the last one says that both are done
                table.keep(0.0)

    def make(self, entry: Entry, seed: int) -> None:
        """Trains, exports and measures an entry, unless that is done."""
        if Kept(self.work, entry.name, seed).done:
            return
        run, checkpoint, serves = self._run(entry, seed)
        say(f"measuring {run}")
        table = _Table(self, entry.name, seed)
        for asked, test in self.tests():
            self._in_torch(table, run, asked, test)
        stages = list(dict.fromkeys(row["stage"] for row in table.rows))
        if serves:
            with serving(self.work, run.name, stages) as client:
                for asked, test in self.tests():
                    if asked != "successive":  # a hundred thousand calls: the network's own figures stand alone
                        for stage in stages:
                            ranks = served_ranks(client, stage, self.dataset, test)
                            table.add(stage, "served", asked, test, ranks)
        table.keep(checkpoint.report["seconds"], self._made(entry, seed, checkpoint))

    def result(self, out: Path) -> None:
        """Puts all that is done into the result, with the differences."""
        order = [POPULARITY, TRANSITIONS, *(entry.name for entry in self.suite.entries)]
        seeds: dict[str, list[int]] = {}
        for file in sorted((self.work / "measured").glob("*.json")):
            name, _, seed = file.stem.rpartition("-seed-")
            seeds.setdefault(name, []).append(int(seed))
        pairs = [(name, TRANSITIONS) for name in order[2:]] + list(self.suite.pairs)
        kept = [Kept(self.work, name, seed) for name in order for seed in seeds.get(name, ())]
        merge(out, self.name, order, kept, differences(self.work, seeds, pairs, self._asked()))

    def tests(self) -> Sequence[tuple[str, EvaluationSet]]:
        """Returns what test asks for, by the name of its targets."""
        return [(targets, self.dataset.evaluation("test", targets)) for targets in self._asked()]

    def exact(self, test: EvaluationSet) -> NDArray[np.bool_] | None:
        """Marks the users whose last event has an exact time, where the data says so and each is asked once."""
        file = self.work / "exact-users.json"
        if not file.exists() or self.dataset.split != "leave-one-out":
            return None
        users = set(json.loads(file.read_text()))
        return np.array([user in users for user in test.user_ids])

    def _run(self, entry: Entry, seed: int) -> tuple[Path, Checkpoint, bool]:
        """Trains and exports an entry, and first what retrieves for it, unless that is done.

        Returns:
            The run, its checkpoint, and whether there is a bundle of it: a joint ranker that was left out has none.
        """
        run = self.work / f"{entry.name}-seed-{seed}"
        if not (run / "checkpoint.json").exists():
            entries = {entry.name: entry for entry in self.suite.entries}
            over = [self._run(entries[name], own)[0] for name, own in entry.members(seed)]
            say(f"training {run}")
            training.train(entry.model, self.dataset, out=run, seed=seed, option=entry.option, retriever=over)
        checkpoint = read_checkpoint(run)
        serves = not checkpoint.retrievers or checkpoint.candidates > 0
        if serves and not (self.work / "models" / run.name / "1").exists():
            say(f"exporting {run}")
            exporters.export(run, self.dataset, repository=self.work / "models", name=run.name)
        return run, checkpoint, serves

    def _asked(self) -> list[str]:
        return [targets or self.dataset.targets for targets in self.suite.targets]

    def _in_torch(self, table: _Table, run: Path, asked: str, test: EvaluationSet) -> None:
        """Measures each stage through the network: "retrieve" and, where it has one, "rank"."""
        checkpoint, model, network = load_checkpoint(run, self.host)
        sources, n = sources_of(run, checkpoint, self.host), checkpoint.candidates
        stages = rank_targets(model, network, test, candidates=n, sources=sources)
        if sources:  # the first source's, which has rows of its own
            del stages["retrieve"]
        for name, stage in stages.items():
            more = {}
            if sources:  # the ceiling of what the ranker can reach: the targets among its candidates
                more["candidate_recall"] = round(candidate_recall(sources, test, n), 5)
            elif name == "retrieve":
                more[f"recall{_RECALL_AT}"] = round(float((stage.ranks <= _RECALL_AT).mean()), 5)
            table.add(name, "torch", asked, test, stage.ranks, **more)

    def _made(self, entry: Entry, seed: int, checkpoint: Checkpoint) -> dict[str, Any]:
        """Says how an entry was made, and what validation said of it."""
        validation = {k: round(v, 5) for k, v in checkpoint.metrics.items() if k.endswith(("/hr@10", "/ndcg@10"))}
        return {
            "model": entry.name,
            "seed": seed,
            "options": dict(entry.option),
            "epochs": checkpoint.epochs,
            "validation": validation,
            "ranker": checkpoint.report["ranker"],
            "transitions": checkpoint.report.get("transitions", {}).get("words", ""),
            "resumed": checkpoint.report.get("resumed", False),
            "command": f"cd benchmarks && python -m quality {self.name} --rows {entry.name} --seeds {seed}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
        }


class _Table:
    """Rows of one entry and seed, with each user's figures."""

    def __init__(self, bench: Bench, name: str, seed: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self._bench, self._name, self._seed = bench, name, seed
        self._values: dict[str, NDArray[np.float64]] = {}

    def add(
        self, stage: str, path: str, asked: str, test: EvaluationSet, ranks: NDArray[np.float64], **more: float
    ) -> None:
        """Adds a row of (targets,) ranks."""
        own = user_values(ranks, test)
        self._values |= {f"{asked}/{stage}/{path}/{metric}": value for metric, value in own.items()}
        row = {"model": self._name, "stage": stage, "path": path, "seed": self._seed, "targets": asked}
        row |= figures(own, self._bench.exact(test)) | more | {"items": self._bench.dataset.spec.items}
        self.rows.append(row)
        what = f"{self._name:<18} {stage:<9} {path:<8} seed {self._seed} {asked:<10}"
        say(f"{what} HR@10 {row['hr10']:.4f} NDCG@10 {row['ndcg10']:.4f}")

    def keep(self, seconds: float, made: dict[str, Any] | None = None) -> None:
        """Writes what was measured, and how it was made; from here on it is done."""
        rows = [row | {"train_seconds": seconds} for row in self.rows]
        Kept(self._bench.work, self._name, self._seed).write(rows, made, self._values)


def say(text: str) -> None:
    """Tells a person who waits."""
    print(text, flush=True)
