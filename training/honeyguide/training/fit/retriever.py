"""Fits a network to training histories, with early stopping on the validation users' NDCG@10."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from honeyguide.sdk.capabilities import capabilities_of, ranking_parameters
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.items import ItemTable
from honeyguide.sdk.model import Model, Network
from honeyguide.training.evaluation.stages import rank_targets
from honeyguide.training.fit.batches import TrainingBatches
from honeyguide.training.fit.loop import LoopResult, Task, run
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.progress import OnProgress
from honeyguide.training.plugin_calls import plugin_call
from honeyguide.training.runs.history import Epoch, record

__all__ = ["check_target_weight", "fit", "observe"]


def fit(
    model: Model,
    network: nn.Module,
    training: HistoryBatch,
    validation: EvaluationSet,
    options: FitOptions,
    *,
    items: ItemTable | None = None,
    phase: str = "retriever",
    state: Path | None = None,
    progress: OnProgress | None = None,
) -> LoopResult:
    """Lets a network observe the training histories and the items, then trains all of it but its ranking module.

    The state before the first epoch counts too: a network that learns by `observe` alone, or was warm-started, keeps it
    where no epoch is better. Where ``items`` is None, nothing is known of the items but their rows. Arguments
    ``state`` and ``progress`` are those of `honeyguide.training.fit.loop.run`.
    """
    observe(model, network, training, items)

    def score() -> float:
        return float(rank_targets(model, network, validation)["retrieve"].ndcg(validation).mean())

    others = {id(parameter) for parameter in ranking_parameters(network)}
    parameters = [p for p in network.parameters() if id(p) not in others and p.requires_grad]
    if not parameters:
        started = time.perf_counter()
        network.eval()
        value = score()
        if state is not None:
            record(state, phase, [Epoch(0, None, value, time.perf_counter() - started)])
        return LoopResult(epochs=0, scores=(value,))
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
        guard=partial(plugin_call, model, "loss"),
    )
    return run(network, task, state=state, progress=progress)


def observe(model: Model, network: nn.Module, histories: HistoryBatch, items: ItemTable | None) -> None:
    """Lets a network that observes see histories and items; None: nothing is known of the items but their rows."""
    observer = capabilities_of(network).observes
    if observer is not None:
        with plugin_call(model, "observe", histories):
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
    with plugin_call(model, "network"):
        network: Any = model.network()
    observe(model, network, training, items)
    network.eval()
    batch = next(iter(batches.epoch(0)))
    losses = []
    for unequal in (0.0, 1.0):
        weights = 1.0 + unequal * torch.rand(batch["targets"].shape, generator=torch.Generator().manual_seed(0))
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)  # a loss may draw negatives
            with plugin_call(model, "loss", batch):
                losses.append(float(network.loss({**batch, "weights": weights})))
    if losses[0] == losses[1]:
        raise ConfigError(
            f"option 'target_weight' is {options.target_weight!r}, and the loss of {model.name} takes no weights: "
            'multiply each target\'s loss by batch["weights"], or train without the option'
        )
