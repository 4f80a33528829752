"""Fits a network to training histories, with early stopping on the validation users' NDCG@10."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from honeyguide.sdk.capabilities import capabilities_of, ranking_parameters
from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.items import ItemTable
from honeyguide.sdk.model import Model, Network
from honeyguide.training.evaluation.stages import rank_targets
from honeyguide.training.fit.batches import TrainingBatches
from honeyguide.training.fit.loop import SCHEDULES, LoopResult, Report, Task, run

__all__ = ["FitOptions", "check_target_weight", "fit", "observe"]


@dataclass(frozen=True, slots=True)
class FitOptions:
    """Says how to train. A model's own defaults stand in its class attribute ``fit_defaults``."""

    epochs: int = 100
    """The most epochs, 1 or more."""
    final_epochs: int = 0
    """As ``epochs``, for a final retriever that goes on from the first one; 0 = as ``epochs``."""
    patience: int = 10
    """Epochs without a better validation NDCG@10 before training stops, 1 or more."""
    lr: float = 1e-3
    """AdamW's learning rate, above 0."""
    weight_decay: float = 0.0
    """AdamW's weight decay of tables and matrices, 0 or more; gains, biases and scalars do not decay."""
    beta2: float = 0.999
    """AdamW's decay of the squared gradients' mean, above 0 and below 1."""
    schedule: str = "constant"
    """How the learning rate goes: "constant"; or "one-cycle", up to ``lr`` in a tenth of the steps that ``epochs`` come
    to and down to next to nothing in the rest."""
    batch_tokens: int = 8192
    """Sequences × longest length of a batch, 1 or more."""
    min_batches: int = 1
    """Batches of an epoch at least, 1 or more: small data gets smaller batches, so that it gets as many steps; the
    ranker's lists, too."""
    target_weight: str = ""
    """What a target counts for in the retriever's loss: "" all alike; "dwell_seconds" or another feature, the more the
    higher, between 0 and 2 times; or by event type, such as "purchase:3,view:1", 1 where a type is not named."""
    seed: int = 0
    """Seeds the initial weights, the targets, the batches and dropout; 0 to 2³² − 1."""
    candidates: int = 200
    """How many retrieved items the ranker reorders, 2 or more; 0 trains no ranker."""
    ranker_tail: int = 8
    """How many of each user's last training steps are held back for the ranker, at most a third of them; 1 or more."""
    ranker_epochs: int = 30
    """As ``epochs``, for the ranker."""
    ranker_patience: int = 3
    """As ``patience``, for the ranker, on a tenth of the users."""
    ranker_lr: float = 1e-3
    """As ``lr``, for the ranker."""
    ranker_weight_decay: float = 0.0
    """As ``weight_decay``, for the ranker."""
    ranker_batch: int = 128
    """Candidate lists of a batch at most, 1 or more."""
    ranker_lists: int = 100_000
    """The most candidate lists, drawn at random where there are more; 1 or more."""

    def __post_init__(self) -> None:
        smallest = {"seed": 0, "candidates": 0, "final_epochs": 0, "weight_decay": 0, "ranker_weight_decay": 0}
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"option 'schedule' is {self.schedule!r}; allowed: {', '.join(SCHEDULES)}")
        if not 0 < self.beta2 < 1:
            raise ConfigError(f"option 'beta2' is {self.beta2}; allowed: above 0 and below 1")
        if self.seed >= 1 << 32:
            raise ConfigError(f"option 'seed' is {self.seed}; allowed: 0 to {(1 << 32) - 1}")
        if self.candidates == 1:
            raise ConfigError("option 'candidates' is 1; allowed: 0 for no ranker, or 2 or more, as one has no order")
        for name in set(self.__slots__) - {"schedule", "beta2", "target_weight"}:
            value = getattr(self, name)
            if name in ("lr", "ranker_lr"):
                if not value > 0:
                    raise ConfigError(f"option {name!r} is {value}; allowed: above 0")
            elif not value >= smallest.get(name, 1):
                raise ConfigError(f"option {name!r} is {value}; allowed: {smallest.get(name, 1)} or more")

    @classmethod
    def for_model(cls, model: type[Model], options: Mapping[str, Any]) -> FitOptions:
        """Returns the model's defaults with the given options, values or text, over them."""
        return cast("FitOptions", config_from(cls, {**model.fit_defaults, **options}))


def fit(
    model: Model,
    network: nn.Module,
    training: HistoryBatch,
    validation: EvaluationSet,
    options: FitOptions,
    *,
    items: ItemTable | None = None,
    phase: str = "retriever",
    progress: Path | None = None,
    report: Report | None = None,
) -> LoopResult:
    """Lets a network observe the training histories and the items, then trains all of it but its ranking module.

    The state before the first epoch counts too: a network that learns by `observe` alone, or was warm-started, keeps it
    where no epoch is better. Where ``items`` is None, nothing is known of the items but their rows. Arguments
    ``progress`` and ``report`` are those of `honeyguide.training.fit.loop.run`.
    """
    observe(model, network, training, items)

    def score() -> float:
        return float(rank_targets(model, network, validation)["retrieve"].ndcg(validation).mean())

    others = {id(parameter) for parameter in ranking_parameters(network)}
    parameters = [p for p in network.parameters() if id(p) not in others and p.requires_grad]
    if not parameters:
        network.eval()
        return LoopResult(epochs=0, scores=(score(),))
    batches = TrainingBatches(
        model,
        training,
        tokens=options.batch_tokens,
        seed=options.seed,
        at_least=options.min_batches,
        target_weight=options.target_weight,
    )
    task = Task(
        phase=phase,
        parameters=parameters,
        batches=batches.epoch,
        loss=cast("Network", network).loss,
        score=score,
        train_mode=network.train,
        epochs=options.epochs,
        patience=options.patience,
        lr=options.lr,
        weight_decay=options.weight_decay,
        seed=options.seed,
        beta2=options.beta2,
        schedule=options.schedule,
    )
    return run(network, task, progress=progress, report=report)


def observe(model: Model, network: nn.Module, histories: HistoryBatch, items: ItemTable | None) -> None:
    """Lets a network that observes see histories and items; None: nothing is known of the items but their rows."""
    observer = capabilities_of(network).observes
    if observer is not None:
        observer.observe(histories, ItemTable.of_rows(model.data.items) if items is None else items)


def check_target_weight(
    model: Model, training: HistoryBatch, options: FitOptions, items: ItemTable | None = None
) -> None:
    """Raises `ConfigError` where the data has no such ``target_weight``, or the model's loss does not read weights."""
    if not options.target_weight:
        return
    batches = TrainingBatches(
        model, training, tokens=options.batch_tokens, seed=options.seed, target_weight=options.target_weight
    )
    network: Any = model.network()
    observe(model, network, training, items)
    network.eval()
    batch = next(iter(batches.epoch(0)))
    losses = []
    for unequal in (0.0, 1.0):
        weights = 1.0 + unequal * torch.rand(batch["targets"].shape, generator=torch.Generator().manual_seed(0))
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)  # a loss may draw negatives
            losses.append(float(network.loss({**batch, "weights": weights})))
    if losses[0] == losses[1]:
        raise ConfigError(
            f"option 'target_weight' is {options.target_weight!r}, and the loss of {model.name} takes no weights: "
            'multiply each target\'s loss by batch["weights"], or train without the option'
        )
