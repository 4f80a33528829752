"""Trains one model from histories to a network that may serve: retriever, ranker, and the gate between them."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from honeyguide.sdk.capabilities import capabilities_of, ranking_parameters
from honeyguide.sdk.config import config_to
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.items import ItemTable
from honeyguide.sdk.model import Model
from honeyguide.training.evaluation.stages import evaluate_stages, flatten, popularity_of, rank_targets
from honeyguide.training.fit.loop import Report
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.ranker import (
    FEWEST_LISTS,
    first_steps,
    fit_ranker,
    hold_back,
    make_lists,
    paired_bootstrap,
)
from honeyguide.training.fit.retriever import check_target_weight, fit, observe
from honeyguide.training.runs.tensor_file import state_of
from honeyguide.training.scoring.device import best_device

__all__ = ["Trained", "claim", "fit_model", "gate"]

_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Trained:
    """Holds what training gives."""

    network: nn.Module
    """In eval mode, on the CPU, with its best weights."""
    epochs: int
    """The final retriever's best epoch; 0 where none was better than its start."""
    candidates: int
    """How many retrieved items to rerank; 0 where there is no ranker, or it did not earn its place."""
    metrics: Mapping[str, float]
    """On the validation users, such as "retrieve/ndcg@10"."""
    first: Mapping[str, Tensor] | None
    """The first retriever's weights, where there was one; a joint ranker learns from its lists."""
    report: Mapping[str, Any]
    """What happened, JSON-ready: scores by epoch of each phase; "ranker", the gate's verdict in words; "seconds", and
    "resumed", whether these are only those since training was resumed."""


def fit_model(
    model: Model,
    training: HistoryBatch,
    validation: EvaluationSet,
    options: FitOptions,
    *,
    items: ItemTable | None = None,
    progress: Path | None = None,
    report: Report | None = None,
) -> Trained:
    """Trains a model; where its network ranks, by the recipe of `honeyguide.training.fit.ranker`.

    With a ranker to fit, a first retriever learns on part A, the ranker on its lists, and the final retriever goes on
    from both on all training events. Then one look at the validation users decides whether the ranker stays.

    Args:
        model: a model with its config.
        training: all training histories.
        validation: the users that early stopping and the gate watch.
        options: how to train.
        items: what is known of the catalogue; None: nothing but its rows.
        progress: a folder for the state of an unfinished training. Called again with the same arguments after a kill,
            it goes on and ends with the same network. The caller removes it at the end.
        report: told of every batch.

    Raises:
        ConfigError: ``progress`` holds a training with other arguments, or the data or the model knows no such
            ``target_weight``.
        DataError: there is nothing to predict.
        PluginError: the network has half of a capability.
    """
    started = time.perf_counter()
    check_target_weight(model, training, options, items)  # before anything is written
    torch.manual_seed(options.seed)
    network = model.network()
    one = training.take(np.arange(len(training))[:1])
    observe(model, network, one, items)  # a network may refuse the items, before anything is written
    resumed = progress is not None and claim(progress, model, options)
    told: dict[str, Any] = {"resumed": resumed}
    state: Mapping[str, Tensor] | None = None
    ranks = capabilities_of(network).ranks is not None
    n = min(options.candidates, model.data.items) if ranks and model.data.items > 1 else 0
    verdict = "" if n else ("switched off" if ranks else "the model has none")
    if n and ranking_parameters(network):  # one that counts alone goes straight to the gate
        part, examples = hold_back(training, options.ranker_tail, options.seed)
        lists = None
        if len(examples) >= FEWEST_LISTS:
            first = first_steps(training, examples)
            result = fit(
                model, network, part, first, options, items=items, phase="first", progress=progress, report=report
            )
            told["first"] = dataclasses.asdict(result)
            state = state_of(network)
            examples = examples.sample(options.ranker_lists, options.seed)
            lists = make_lists([(model, network.to(best_device()))], training, examples, n)
            network.cpu()
        if lists is None or not lists.suffice:
            n, verdict = 0, f"not fitted: fewer than {FEWEST_LISTS} candidate lists with their target, or one user's"
        else:
            result = fit_ranker(model, network, training, lists, options, progress=progress, report=report)
            told["ranker_fit"] = dataclasses.asdict(result) | {
                "lists": len(lists),
                "target_retrieved": len(lists) / len(examples),
            }
    if "first" in told and options.final_epochs:
        options = dataclasses.replace(options, epochs=options.final_epochs)
    result = fit(model, network, training, validation, options, items=items, progress=progress, report=report)
    told["retriever"] = dataclasses.asdict(result)
    network.to(best_device())
    if n:
        stages = rank_targets(model, network, validation, candidates=n)
        before, after = stages["retrieve"].ndcg(validation), stages["rank"].ndcg(validation)
        told["gate"], verdict = gate(before, after, n, options.seed)
        n = n if told["gate"]["kept"] else 0
    popularity = popularity_of(training, model.data.items)
    metrics = evaluate_stages(model, network, validation, candidates=n, popularity=popularity)
    told |= {"ranker": verdict, "seconds": round(time.perf_counter() - started, 1)}
    return Trained(network.cpu(), result.epochs, n, flatten(metrics), state, told)


def gate(
    before: NDArray[np.float64], after: NDArray[np.float64], candidates: int, seed: int
) -> tuple[dict[str, Any], str]:
    """Decides whether a ranker stays: the (users,) NDCG@10 with it is significantly above that without it.

    Returns:
        What was found, JSON-ready, and the verdict in words.
    """
    p = paired_bootstrap(before, after, seed)
    gain = float(after.mean() - before.mean())
    kept = gain > 0 and p < _SIGNIFICANT
    words = f"{'kept' if kept else 'left out'}: NDCG@10 {gain:+.4f} on {len(before)} users, p = {p:.4f}"
    return {"candidates": candidates, "ndcg10_gain": gain, "p": p, "kept": kept}, words


def claim(progress: Path, model: Model, options: FitOptions, more: Mapping[str, Any] | None = None) -> bool:
    """Writes down whose training this is, or checks that it is the same one; returns whether one was under way.

    Raises `ConfigError` where it is another one.
    """
    mine = {
        "model": model.name,
        "config": config_to(model.config),
        "options": dataclasses.asdict(options),
        "data": model.data.fingerprint,
        **(more or {}),
    }
    file = progress / "training.json"
    if not file.exists():
        progress.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(mine, indent=2) + "\n", "utf-8")
        unfinished.replace(file)  # a kill leaves the whole file or none
        return False
    theirs = json.loads(file.read_text("utf-8"))
    if changed := sorted(name for name in mine if theirs.get(name) != mine[name]):
        raise ConfigError(
            f"an unfinished training with another {' and '.join(changed)} lies in {progress}; "
            "train with the same arguments to go on, or remove that folder to begin anew"
        )
    return True
