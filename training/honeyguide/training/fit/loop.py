"""Trains a network for epochs: early stopping on a score, best weights, resuming; one loop for all phases.

A plain loop, since Lightning's needed more code around it than it saved: see docs/adr/0009-a-plain-training-loop.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from honeyguide.sdk.errors import DataError
from honeyguide.training.fit.progress import OnProgress, Progress
from honeyguide.training.runs.history import Epoch, record
from honeyguide.training.runs.tensor_file import load_tree, save_tree, state_of
from honeyguide.training.scoring.device import best_device

__all__ = ["Batches", "LoopResult", "Task", "run"]

_FORMAT = 2
"""Of the file that a phase resumes from."""


class Batches(Protocol):
    """One epoch's batches, their number known."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...


@dataclass(frozen=True)
class Task:
    """One phase of training."""

    phase: str
    """Its name, also of the file it resumes from."""
    parameters: Sequence[nn.Parameter]
    """What is learnt, at least one."""
    batches: Callable[[int], Batches]
    """The batches of an epoch from 0; the same for the same epoch, or a resumed training would end elsewhere."""
    loss: Callable[[Mapping[str, Any]], Tensor]
    """The scalar loss of a batch."""
    score: Callable[[], float]
    """What early stopping watches; larger is better. Called with the network in eval mode."""
    train_mode: Callable[[], object]
    """Puts the network into its mode for learning."""
    epochs: int
    """The most epochs."""
    patience: int
    """Epochs without a better score before it stops."""
    lr: float
    """The learning rate; with the schedule "one-cycle" its highest."""
    weight_decay: float
    """Of parameters with two axes or more (tables and matrices); gains, biases and scalars do not decay."""
    seed: int
    beta2: float = 0.999
    """AdamW's decay of the squared gradients' mean."""
    start_counts: bool = True
    """Whether the weights before the first epoch may turn out the best; else they only do where there is no epoch."""
    schedule: str = "constant"
    """One of `honeyguide.training.fit.options.SCHEDULES`."""
    guard: Callable[[object], AbstractContextManager[object]] = nullcontext
    """Words what fails in the loss of a batch, or in its gradient."""


@dataclass(frozen=True, slots=True)
class LoopResult:
    """Outcome of a phase; the network holds its best weights."""

    epochs: int
    """The epoch of the best weights; 0 is the state before the first."""
    scores: tuple[float, ...]
    """The score before the first epoch, then after each."""


def run(network: nn.Module, task: Task, *, state: Path | None = None, progress: OnProgress | None = None) -> LoopResult:
    """Trains a network by a task and leaves it with the best weights, in eval mode, on the CPU.

    Args:
        network: changed in place.
        task: what to do.
        state: a folder that keeps the state after each epoch; where it holds this phase already, training goes on from
            there, and ends with the same weights as one that was never stopped. The epochs are recorded there too, see
            `honeyguide.training.runs.history`.
        progress: called after every batch.

    Raises:
        DataError: the state is broken, or another version of Honeyguide wrote it.
    """
    device = best_device()
    network.to(device)
    optimizer = _optimizer(task)
    schedule = _schedule(optimizer, task)
    file = None if state is None else state / f"{task.phase}.safetensors"
    if file is not None and file.exists():
        course = _resume(file, network, optimizer, schedule)
    else:  # a state that was observed or warm-started may be better than any epoch after it
        course = _Course()
        course.add(network, task, None, time.perf_counter())
    if state is not None:
        record(state, task.phase, course.epochs)
    while not course.over(task):
        started = time.perf_counter()
        loss = _train_epoch(task, course, optimizer, schedule, device, progress)
        course.add(network, task, loss, started)
        if file is not None and state is not None:
            parts = {"network": state_of(network), "optimizer": optimizer.state_dict(), "course": course.to_tree()}
            save_tree(file, parts | {"format": _FORMAT, "schedule": schedule.state_dict() if schedule else {}})
            record(state, task.phase, course.epochs)
    network.cpu().load_state_dict(course.best)
    network.eval()
    return LoopResult(epochs=course.best_epoch(task), scores=course.scores)


class _Course:
    """Epochs so far, and the weights of the best one."""

    def __init__(self, epochs: Sequence[Epoch] = (), best: dict[str, Tensor] | None = None) -> None:
        self.epochs = list(epochs)
        self.best = best or {}

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(epoch.score for epoch in self.epochs)

    def best_epoch(self, task: Task) -> int:
        skipped = 0 if task.start_counts or len(self.scores) == 1 else 1
        return skipped + int(np.argmax(self.scores[skipped:]))  # the first of equals

    def over(self, task: Task) -> bool:
        """Whether training is to end: all epochs are done, or those since the best one are as many as the patience.

        The state before the first epoch does not count here: who starts well is not stopped for it.
        """
        scores = np.array(self.scores[1:], np.float32)  # a gain below its precision is none
        return len(scores) >= task.epochs or (
            len(scores) > 0 and len(scores) - 1 - int(np.argmax(scores)) >= task.patience
        )

    def add(self, network: nn.Module, task: Task, loss: float | None, started: float) -> None:
        """Measures the network after an epoch that began at ``started``, and keeps its weights if they are best."""
        network.eval()
        self.epochs.append(Epoch(len(self.epochs), loss, task.score(), time.perf_counter() - started))
        if self.best_epoch(task) == len(self.epochs) - 1:
            self.best = state_of(network)

    def to_tree(self) -> dict[str, Any]:
        return {"epochs": [tuple(epoch) for epoch in self.epochs], "best": self.best}


def _resume(file: Path, network: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any) -> _Course:
    """Puts everything back as it was after the last whole epoch."""
    tree = load_tree(file)
    if not isinstance(tree, dict) or tree.get("format") != _FORMAT:
        raise DataError(
            "another version of Honeyguide left this unfinished training",
            file=str(file),
            remedy="go on with that version, or begin anew with --force",
        )
    try:
        network.load_state_dict(tree["network"])
        optimizer.load_state_dict(tree["optimizer"])
        if schedule:
            schedule.load_state_dict(tree["schedule"])
        return _Course([Epoch(*values) for values in tree["course"]["epochs"]], tree["course"]["best"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DataError(
            f"this unfinished training does not fit ({type(error).__name__}: {error}): it is broken, or the model was "
            "changed since",
            file=str(file),
            remedy="begin anew with --force",
        ) from error


def _train_epoch(
    task: Task,
    course: _Course,
    optimizer: torch.optim.Optimizer,
    schedule: Any,
    device: torch.device,
    progress: OnProgress | None,
) -> float:
    """Trains for one epoch; returns the mean loss of its batches."""
    done = len(course.epochs) - 1
    best = max(course.scores)
    batches = task.batches(done)
    torch.manual_seed(
        task.seed * 1_000_003 + done
    )  # dropout depends on seed and epoch alone, so resuming draws the same
    task.train_mode()
    total = torch.zeros((), device=device)
    for place, batch in enumerate(batches, 1):
        optimizer.zero_grad()
        with task.guard(batch):
            loss = task.loss(_to(batch, device))
            loss.backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()
        if schedule:
            schedule.step()
        total += loss.detach()  # read once an epoch: each reading waits for the accelerator
        if progress is not None:
            progress(Progress(task.phase, done + 1, task.epochs, place, len(batches), best))
    return float(total) / max(len(batches), 1)


def _to(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Moves a batch, of tensors or of more such batches."""
    return {
        name: _to(value, device) if isinstance(value, Mapping) else value.to(device) for name, value in batch.items()
    }


def _optimizer(task: Task) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in task.parameters if p.ndim >= 2], "weight_decay": task.weight_decay},
        {"params": [p for p in task.parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=task.lr, betas=(0.9, task.beta2))


def _schedule(optimizer: torch.optim.Optimizer, task: Task) -> torch.optim.lr_scheduler.OneCycleLR | None:
    if task.schedule == "constant":
        return None
    total = task.epochs * len(task.batches(0)) + 1  # it is stepped once before the first batch
    return torch.optim.lr_scheduler.OneCycleLR(  # Smith & Topin, "Super-convergence" (2018)
        optimizer,
        task.lr,
        total_steps=total,
        pct_start=max(0.1, 2.0 / total),  # with the rise over in the first batch, torch divides by zero
        div_factor=10,
        final_div_factor=50,
    )
