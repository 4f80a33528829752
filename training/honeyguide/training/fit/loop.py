"""Runs Lightning's training loop: early stopping on a score, best weights, resuming; one thin module for all."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
from torch import Tensor, nn

from honeyguide.training.runs.tensor_file import SafetensorsIO, load_tree, state_of

__all__ = ["LoopResult", "Moment", "Report", "Task", "run"]

_SCORE = "score"
_EXTRA = "honeyguide"


@dataclass(frozen=True, slots=True)
class Moment:
    """Says how far training is; made after every batch."""

    phase: str
    epoch: int
    """From 1."""
    epochs: int
    """The most there will be."""
    batch: int
    """Batches done in this epoch."""
    batches: int
    score: float
    """The best validation NDCG@10 so far."""


Report = Callable[[Moment], None]


class Batches(Protocol):
    """Is one epoch's batches, their number known."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Task:
    """Says what one phase of training does."""

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
    schedule: str = "constant"
    """One of `honeyguide.training.fit.options.SCHEDULES`."""


@dataclass(frozen=True, slots=True)
class LoopResult:
    """Says how a phase went; the network holds its best weights."""

    epochs: int
    """The epoch of the best weights; 0 is the state before the first."""
    scores: tuple[float, ...]
    """The score before the first epoch, then after each."""


def run(network: nn.Module, task: Task, *, progress: Path | None = None, report: Report | None = None) -> LoopResult:
    """Trains a network by a task and leaves it with the best weights, in eval mode, on the CPU.

    Args:
        network: changed in place.
        task: what to do.
        progress: a folder that keeps the state after each epoch; where it holds this phase already, training goes on
            from there, and ends with the same weights as one that was never stopped.
        report: told of every batch.
    """
    module = _Module(network, task, report)
    state = None if progress is None else progress / f"{task.phase}.safetensors"
    resumed = state is not None and state.exists()
    if state is not None and resumed:
        module.extra = load_tree(state)[_EXTRA]
    if not module.extra.get("finished", False):
        network.train()  # Lightning warns of modules in eval mode; the task sets them at each epoch
        callbacks: list[Callback] = [EarlyStopping(_SCORE, mode="max", patience=task.patience)]
        if state is not None:
            callbacks.append(_Keep(state))
        with _quiet():
            trainer = Trainer(
                accelerator="auto",
                devices=1,
                max_epochs=task.epochs,
                callbacks=callbacks,
                plugins=[SafetensorsIO()],
                reload_dataloaders_every_n_epochs=1,  # each epoch draws its targets anew
                logger=False,
                enable_checkpointing=state is not None,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
            interrupt = signal.getsignal(signal.SIGINT)
            try:
                trainer.fit(module, ckpt_path=state if resumed else None)
            except SystemExit as stop:
                if isinstance(stop.__context__, KeyboardInterrupt):
                    # Lightning turns Ctrl+C into exit code 1, and is deaf to it from then on.
                    signal.signal(signal.SIGINT, interrupt)
                    raise KeyboardInterrupt from None
                raise
    network.cpu().load_state_dict(module.extra["best"])
    network.eval()
    return LoopResult(epochs=module.extra["epoch"], scores=tuple(module.extra["scores"]))


class _Module(LightningModule):
    """Hands Lightning a task."""

    def __init__(self, network: nn.Module, task: Task, report: Report | None) -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.told = report
        self.extra: dict[str, Any] = {}
        """What is kept beside Lightning's own state: the best weights, their epoch, the scores, whether it is done."""
        self._batches = 0

    def configure_optimizers(self) -> Any:
        task = self.task
        groups = [
            {"params": [p for p in task.parameters if p.ndim >= 2], "weight_decay": task.weight_decay},
            {"params": [p for p in task.parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=task.lr, betas=(0.9, task.beta2))
        if task.schedule == "constant":
            return optimizer
        steps = task.epochs * len(task.batches(0)) + 1  # it is stepped once before the first batch
        cycle = torch.optim.lr_scheduler.OneCycleLR(  # Smith & Topin, "Super-convergence" (2018)
            optimizer,
            task.lr,
            total_steps=steps,
            pct_start=max(0.1, 2.0 / steps),  # with the rise over in the first step, torch divides by zero
            div_factor=10,
            final_div_factor=50,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def train_dataloader(self) -> Iterable[Any]:
        batches = self.task.batches(self.current_epoch)
        self._batches = len(batches)
        return batches

    def training_step(self, batch: Mapping[str, Any], index: int) -> Tensor:
        loss = self.task.loss(batch)
        if self.told is not None:
            best = max(self.extra["scores"])
            done = self.current_epoch + 1
            self.told(Moment(self.task.phase, done, self.task.epochs, index + 1, self._batches, best))
        return loss

    def on_train_start(self) -> None:
        if not self.extra:  # a state that was observed or warm-started may be better than any epoch after it
            self._measure(0)

    def on_train_epoch_start(self) -> None:
        # Dropout depends on seed and epoch alone, so that a resumed training draws the same.
        torch.manual_seed(self.task.seed * 1_000_003 + self.current_epoch)
        self.task.train_mode()

    def on_train_epoch_end(self) -> None:
        self.log(_SCORE, self._measure(self.current_epoch + 1))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        finished = self.trainer.should_stop or self.current_epoch + 1 >= self.task.epochs
        checkpoint[_EXTRA] = self.extra | {"finished": finished}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.extra = checkpoint[_EXTRA]

    def _measure(self, epoch: int) -> float:
        self.network.eval()
        score = self.task.score()
        scores = [*self.extra.get("scores", []), score]
        if score > max(scores[:-1], default=float("-inf")):
            self.extra |= {"best": state_of(self.network), "epoch": epoch}
        self.extra["scores"] = scores
        return score


class _Keep(Checkpoint):
    """Saves the state after each epoch; Lightning calls a Checkpoint last, when score and patience are counted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        trainer.save_checkpoint(self._path, weights_only=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Holds back Lightning's notes on devices, its tips and one warning; others still come through."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            # Lightning 2.6 builds a LeafSpec in a way that torch 2.13 deprecates; nothing of ours does.
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
