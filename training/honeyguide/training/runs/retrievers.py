"""Reads the runs that retrieve for a model that only ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from honeyguide.sdk.errors import DataError
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.model import Model
from honeyguide.training.runs.checkpoint import Checkpoint, load_checkpoint, load_first
from honeyguide.training.scoring.candidates import Source
from honeyguide.training.scoring.device import best_device

__all__ = ["RetrieverRun", "read_retrievers", "sources_of"]


@dataclass(frozen=True, slots=True)
class RetrieverRun:
    """Finished training of a model that retrieves, with its network."""

    folder: Path
    checkpoint: Checkpoint
    model: Model
    network: nn.Module
    """The final retriever."""

    @property
    def source(self) -> Source:
        """The final retriever, as it serves, on the best device."""
        return self.model, self.network.to(best_device())

    @property
    def counts(self) -> bool:
        """Whether its network learns by `observe` alone, so that it can be made anew of any histories."""
        return not any(parameter.requires_grad for parameter in self.network.parameters())

    def first(self) -> Source:
        """Reads the first retriever, which never saw the events held back, on the best device.

        Raises `DataError` where the run kept none.
        """
        return self.model, load_first(self.folder, self.checkpoint, self.model).to(best_device())


def read_retrievers(folders: Sequence[Path], host: PluginHost, fingerprint: str) -> list[RetrieverRun]:
    """Reads the retrievers' run folders.

    Args:
        folders: their folders.
        host: offers their models.
        fingerprint: of the data set that they must have been trained on.

    Raises:
        DataError: one is broken, does not retrieve, was trained on another data set, or is the same as another.
    """
    known = dict[tuple[str, ...], Path]()
    runs = [RetrieverRun(folder, *load_checkpoint(folder, host)) for folder in folders]
    for run in runs:
        if not run.model.retrieves:
            raise DataError("its model retrieves nothing", file=str(run.folder), remedy="name a run that retrieves")
        if run.checkpoint.spec.fingerprint != fingerprint:
            raise DataError(
                f"it was trained on {run.checkpoint.dataset!r} as it was then, which is another data set",
                file=str(run.folder),
                remedy="train it on this data set",
            )
        key = (run.checkpoint.model, str(run.checkpoint.config), run.checkpoint.weights)
        if key in known:
            raise DataError(
                f"it is the same as {known[key]}, to the last weight, so it would add nothing",
                file=str(run.folder),
                remedy="name it once, or train it with another --seed",
            )
        known[key] = run.folder
    return runs


def sources_of(folder: Path, checkpoint: Checkpoint, host: PluginHost) -> list[Source]:
    """Returns what retrieves for the model in a run folder: nothing but itself, or the runs beneath it."""
    return [load_checkpoint(folder / name, host)[1:] for name in checkpoint.retrievers]
