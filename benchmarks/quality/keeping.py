"""Keeps what was measured: a file for each row and seed in the work folder, and all of them in the result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.training.evaluation.baselines import TRANSITIONS
from honeyguide.training.evaluation.differences import paired_difference

__all__ = ["Kept", "differences", "merge"]

Row = dict[str, Any]


class Kept:
    """What one entry gave with one seed, on disk: rows, how it was made, and each user's figures."""

    def __init__(self, work: Path, name: str, seed: int) -> None:
        self.file = work / "measured" / f"{name}-seed-{seed}.json"

    @property
    def done(self) -> bool:
        """Whether it is there: test is read once for each entry and seed, and never again."""
        return self.file.exists()

    def write(self, rows: Sequence[Row], run: Row | None, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Writes it; the JSON comes last, so what is there is whole."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(self.file.with_suffix(".npz"), **{key: value.astype(np.float32) for key, value in values.items()})
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps({"rows": list(rows), "run": run}, indent=2) + "\n", "utf-8")
        part.replace(self.file)

    def read(self) -> tuple[list[Row], Row | None]:
        """Returns the rows and how they were made."""
        kept = json.loads(self.file.read_text("utf-8"))
        return kept["rows"], kept["run"]

    def values(self, key: str) -> NDArray[np.float64] | None:
        """Returns each user's figure, such as "last/rank/served/ndcg"; None where there is none."""
        with np.load(self.file.with_suffix(".npz"), allow_pickle=False) as arrays:
            return arrays[key].astype(np.float64) if key in arrays else None


def merge(out: Path, suite: str, order: Sequence[str], kept: Sequence[Kept], compared: Sequence[Row]) -> dict[str, Any]:
    """Puts rows in the place of those of the same suite, model and seed, and writes the result.

    A former difference stays where it is not told anew, unless a model that it compared has other figures now.

    Args:
        out: the result; made where it is missing.
        suite: whose rows they are.
        order: names of the entries, for the tables.
        kept: what was measured.
        compared: the suite's differences.
    """
    former = json.loads(out.read_text("utf-8")) if out.exists() else {}
    fresh = [one.read() for one in kept]
    rows = [{"suite": suite, **row} for own, _ in fresh for row in own]
    runs = [{"suite": suite, **run} for _, run in fresh if run]
    new = {(suite, row["model"], row["seed"]) for row in (*rows, *runs)}
    figures = {_figures(row) for row in rows}

    def of_before(kind: str) -> list[Row]:
        return [{"suite": suite, **row} for row in former.get(kind, [])]  # the first file named no suite

    def is_new(row: Row) -> bool:
        return (row["suite"], row["model"], row["seed"]) in new

    def all_of(kind: str, own: list[Row]) -> list[Row]:
        others = [row for row in of_before(kind) if not is_new(row)]
        place = {name: number for number, name in enumerate(order)}

        def key(row: Row) -> tuple[str, int, int]:
            return row["suite"], place.get(row["model"], len(place)), row["seed"]

        return sorted([*others, *own], key=key)  # stable

    changed = {row["model"] for row in of_before("rows") if is_new(row) and _figures(row) not in figures}
    again = {(row["model"], row["over"]) for row in compared}
    stay = [
        row
        for row in of_before("differences")
        if row["suite"] != suite or not ((row["model"], row["over"]) in again or {row["model"], row["over"]} & changed)
    ]
    everything = all_of("rows", rows)
    result = {
        "standard_error": {k: max(row[f"{k}_standard_error"] for row in everything) for k in ("hr10", "ndcg10")},
        "rows": everything,
        "runs": all_of("runs", runs),
        "differences": [*stay, *({"suite": suite, **row} for row in compared)],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return result


def _figures(row: Row) -> tuple[Any, ...]:
    """Returns whose row it is, and what it says."""
    return tuple(row.get(name) for name in ("model", "seed", "stage", "path", "targets", "hr10", "ndcg10"))


def differences(
    work: Path, seeds: Mapping[str, Sequence[int]], pairs: Sequence[tuple[str, str]], targets: Sequence[str]
) -> list[Row]:
    """Compares entries by their users' mean figures over the seeds that both have, with a paired bootstrap.

    The last stage of each is compared, and where both entries of a pair rank, what retrieves for them as well. A seed
    with which a ranker was left out does not count.

    Args:
        work: the suite's folder.
        seeds: what is measured, by entry.
        pairs: entry and base; the transitions have one seed for all.
        targets: what test asked for.
    """
    compared: list[Row] = []
    for name, base in pairs:
        both = sorted(set(seeds.get(name, ())) & set(seeds.get(base, ())))
        if base == TRANSITIONS and base in seeds:
            both = list(seeds.get(name, ()))
        for asked in targets if both else ():
            stages = [max((_stages(_kept(work, own, seed), asked) for seed in both), key=len) for own in (name, base)]
            if not all(stages):
                continue  # its ranker was left out with every seed, and it is nothing else
            for place in (-1, 0) if all(len(own) == 2 for own in stages) else (-1,):
                row = _compared(work, {name: stages[0][place], base: stages[1][place]}, both, asked)
                compared += [row] if row else []
    return compared


def _compared(work: Path, stage: Mapping[str, str], seeds: Sequence[int], asked: str) -> Row | None:
    """Compares the first entry of ``stage``, which says which one of each counts, with the second."""
    name, base = stage
    ends: dict[str, Any] = {}
    for metric in ("hr", "ndcg"):
        keys = {own: f"{asked}/{stage[own]}/{metric}" for own in (name, base)}
        found = {seed: [_kept(work, own, seed).values(key) for own, key in keys.items()] for seed in seeds}
        told = {seed: both for seed, both in found.items() if all(value is not None for value in both)}
        if not told:
            return None
        means = np.mean(list(told.values()), axis=0)  # (2, users)
        over = paired_difference(means[1], means[0], 0)
        ends[f"{metric}10"] = [round(value, 5) for value in (over.gain, over.low, over.high)]
        ends["seeds"] = list(told)
    return {"model": name, "over": base, "targets": asked, "stages": list(stage.values())} | ends


def _kept(work: Path, name: str, seed: int) -> Kept:
    return Kept(work, name, 0 if name == TRANSITIONS else seed)


def _stages(kept: Kept, asked: str) -> list[str]:
    """Returns the stages of an entry's last path, such as ["retrieve/served", "rank/served"]."""
    rows = [row for row in kept.read()[0] if row["targets"] == asked]
    return [f"{row['stage']}/{row['path']}" for row in rows if row["path"] == rows[-1]["path"]]
