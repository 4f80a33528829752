"""A finished training as its folder holds it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from honeyguide.training.runs.checkpoint import Checkpoint, read_checkpoint
from honeyguide.training.runs.history import read_history

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Run"]


@dataclass(frozen=True, slots=True)
class Run:
    """Finished training; it may stand wherever a path to its folder may."""

    folder: Path
    """Where it lies."""
    checkpoint: Checkpoint
    """What was trained on what and how, and what came of it."""

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Opens the folder of a training; raises `DataError` where it holds no finished one."""
        return cls(Path(folder), read_checkpoint(folder))

    @property
    def history(self) -> pl.DataFrame:
        """The training's epochs: phase, epoch, loss, ndcg@10, seconds; see `honeyguide.training.runs.history`.

        Raises `DataError` where the folder has none.
        """
        return read_history(self.folder)

    def __fspath__(self) -> str:
        return str(self.folder)
