"""Keeps a training's history: ``history.csv``, a row for each epoch of each phase, for a person to plot.

phase    "first", "ranker" or "retriever", as in `honeyguide.training.fit.progress.Progress`
epoch    0 is the state before the first epoch
loss     mean over the epoch's batches; empty for epoch 0
ndcg@10  on the validation users; of the phases "first" and "ranker" on their own held-out ones
seconds  that the epoch took, its validation included
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from honeyguide.sdk.errors import DataError
from honeyguide.training.target_folder import GOES_ON, writing

if TYPE_CHECKING:
    import polars as pl

__all__ = ["HISTORY", "Epoch", "read_history", "record"]

HISTORY = "history.csv"
_AGAIN = "train the model again with `honeyguide train`"
_PHASES = ("first", "ranker", "retriever")
_COLUMNS = ("phase", "epoch", "loss", "ndcg@10", "seconds")


class Epoch(NamedTuple):
    """One epoch of a phase."""

    number: int
    """0 is the state before the first."""
    loss: float | None
    score: float
    seconds: float


def record(folder: Path, phase: str, epochs: Sequence[Epoch]) -> None:
    """Writes a phase's epochs into a folder's history, in place of those of this phase that stand there.

    So whoever is stopped and goes on records each epoch once.
    """
    file = folder / HISTORY
    rows: list[list[object]] = [[*row] for row in _rows(file) if row[0] != phase]
    rows += [[phase, e.number, "" if e.loss is None else e.loss, e.score, round(e.seconds, 3)] for e in epochs]
    draft = file.with_suffix(".part")
    with (
        writing(file, "the history of the training", draft=draft, remedy=GOES_ON),
        draft.open("w", newline="", encoding="utf-8") as lines,
    ):
        csv.writer(lines, lineterminator="\n").writerows([_COLUMNS, *rows])
        lines.close()
        draft.replace(file)  # a kill leaves the whole file or the one before


def _rows(file: Path) -> list[list[str]]:
    """Reads the rows of a history; what is broken is left out, since each phase that goes on records itself again."""
    try:
        lines = list(csv.reader(file.read_text("utf-8").splitlines()))[1:]
    except (FileNotFoundError, UnicodeDecodeError, csv.Error):
        return []
    return [row for row in lines if len(row) == len(_COLUMNS) and row[0] in _PHASES]


def read_history(folder: Path) -> pl.DataFrame:
    """Reads a folder's history; raises `DataError` where it has none, or a broken one."""
    import polars as pl

    file = folder / HISTORY
    if not file.exists():
        raise DataError("there is no such file", file=str(file), remedy=_AGAIN)
    kinds = dict(zip(_COLUMNS, (pl.String, pl.Int64, pl.Float64, pl.Float64, pl.Float64), strict=True))
    try:
        return pl.read_csv(file, schema=kinds, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"cannot be read ({error})", file=str(file), remedy=_AGAIN) from error
