"""Trains a joint ranker over the candidates of retrievers that are trained already.

The recipe of `honeyguide.training.fit.ranker` holds for it too: it learns from the lists of each run's first retriever,
which never saw the steps it is asked about, and serves over the final ones.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.items import ItemTable
from honeyguide.sdk.model import Model
from honeyguide.training.evaluation.stages import KS, flatten, popularity_of, rank_targets, stage_metrics
from honeyguide.training.fit.loop import Report
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.ranker import FEWEST_LISTS, fit_ranker, hold_back, make_lists
from honeyguide.training.fit.recipe import Trained, claim, gate
from honeyguide.training.fit.retriever import observe
from honeyguide.training.runs.checkpoint import Checkpoint, load_checkpoint, load_first
from honeyguide.training.scoring.candidates import Source
from honeyguide.training.scoring.device import best_device

__all__ = ["TrainedRetriever", "judge", "read_runs", "sources_of", "train_joint"]


@dataclass(frozen=True, slots=True)
class TrainedRetriever:
    """Trained model that retrieves for a joint one."""

    folder: Path
    checkpoint: Checkpoint
    model: Model
    network: nn.Module
    """The final retriever."""

    @property
    def source(self) -> Source:
        """The final retriever, as it serves."""
        return self.model, self.network


def read_runs(folders: Sequence[Path], host: PluginHost, fingerprint: str) -> list[TrainedRetriever]:
    """Reads the retrievers' run folders.

    Raises:
        DataError: one is broken, does not retrieve, or was trained on another data set.
    """
    runs = [TrainedRetriever(folder, *load_checkpoint(folder, host)) for folder in folders]
    for run in runs:
        if not run.model.retrieves:
            raise DataError("its model retrieves nothing", file=str(run.folder), remedy="name a run that retrieves")
        if run.checkpoint.spec.fingerprint != fingerprint:
            raise DataError(
                f"it was trained on {run.checkpoint.dataset!r} as it was then, which is another data set",
                file=str(run.folder),
                remedy="train it on this data set",
            )
    return runs


def sources_of(folder: Path, checkpoint: Checkpoint, host: PluginHost) -> list[Source]:
    """Returns what retrieves for the model in a run folder: nothing but itself, or the runs beneath it."""
    runs = [TrainedRetriever(folder / name, *load_checkpoint(folder / name, host)) for name in checkpoint.retrievers]
    return [run.source for run in runs]


def train_joint(
    model: Model,
    runs: Sequence[TrainedRetriever],
    training: HistoryBatch,
    validation: EvaluationSet,
    options: FitOptions,
    *,
    items: ItemTable | None = None,
    progress: Path | None = None,
    report: Report | None = None,
) -> Trained:
    """Trains a ranker over several retrievers' candidates; `judge` decides whether it stays.

    Args:
        model: a model that does not retrieve, its config's ``sources`` the number of runs.
        runs: the retrievers, whose first ones held back as many steps as ``options`` asks for, or more, by one seed.
        training: all training histories, the same that the runs learnt from.
        validation: the users that the gate watches.
        options: how to train; ``candidates`` counts for each retriever.
        items: what is known of the catalogue; None: nothing but its rows.
        progress: as for `honeyguide.training.fit.recipe.fit_model`.
        report: told of every batch.

    Raises:
        ConfigError: a run held back fewer steps, an option makes no sense for a joint ranker, or ``progress`` holds a
            training with other arguments.
        DataError: a run kept no first retriever, or there are too few candidate lists to learn from.
    """
    started = time.perf_counter()
    for run in runs:
        held = int(run.checkpoint.options.get("ranker_tail", 0))
        if held < options.ranker_tail:
            raise ConfigError(
                f"{run.folder} held {held} steps back, the ranker is to learn from {options.ranker_tail}: "
                f"give --fit ranker_tail={held}"
            )
    if options.candidates < 2:
        raise ConfigError(f"option 'candidates' is {options.candidates}; a joint ranker needs 2 or more")
    if options.target_weight:
        raise ConfigError("option 'target_weight' is for what retrieves: give it where the retrievers are trained")
    firsts = [(run.model, load_first(run.folder, run.checkpoint, run.model).to(best_device())) for run in runs]
    part, examples = hold_back(training, options.ranker_tail, options.seed)
    torch.manual_seed(options.seed)
    network = model.network()
    one = training.take(np.arange(len(training))[:1])
    observe(model, network, one, items)  # a network may refuse the items, before anything is written
    resumed = progress is not None and claim(
        progress, model, options, {"retrievers": [run.checkpoint.weights for run in runs]}
    )
    n = min(options.candidates, model.data.items)
    examples = examples.sample(options.ranker_lists, options.seed)
    if not (lists := make_lists(firsts, training, examples, n)).suffice:
        raise DataError(
            f"only {len(lists)} candidate lists hold their target; a ranker learns from {FEWEST_LISTS} or more, "
            "of several users",
            remedy="give more --candidates, or train on more data",
        )
    observe(model, network, part, items)
    result = fit_ranker(model, network, training, lists, options, progress=progress, report=report)
    told: dict[str, Any] = {"resumed": resumed, "ranker_fit": dataclasses.asdict(result) | {"lists": len(lists)}}
    told["ranker_fit"]["target_retrieved"] = len(lists) / len(examples)
    observe(model, network, training, items)
    n, verdict, metrics = judge(model, network, runs, training, validation, n, options.seed, told)
    told |= {"ranker": verdict, "seconds": round(time.perf_counter() - started, 1)}
    return Trained(network.cpu(), 0, n, metrics, None, told)


def judge(
    model: Model,
    network: nn.Module,
    runs: Sequence[TrainedRetriever],
    training: HistoryBatch,
    validation: EvaluationSet,
    n: int,
    seed: int,
    told: dict[str, Any],
) -> tuple[int, str, dict[str, float]]:
    """Decides whether a joint ranker stays: it must improve on the best of its retrievers, as any ranker must.

    Whether it is also better than the best run with that run's own ranker is told, and decides nothing: who serves
    that run alone saves the others.

    Args:
        model: the joint model.
        network: its network, fitted.
        runs: its retrievers.
        training: all training histories.
        validation: the users that judge.
        n: candidates of each retriever.
        seed: of the resampling.
        told: gets "gate" and "alone".

    Returns:
        How many candidates to rank, 0 where the ranker does not stay; the verdict in words; and the metrics.
    """
    network.to(best_device())
    sources = [(run.model, run.network.to(best_device())) for run in runs]
    stages = [
        rank_targets(*source, validation, candidates=run.checkpoint.candidates)
        for run, source in zip(runs, sources, strict=True)
    ]
    popularity = popularity_of(training, model.data.items)
    joint = rank_targets(
        model, network, validation, candidates=n, popularity=popularity, sources=sources, longest=max(KS)
    )
    after = joint["rank"].ndcg(validation)
    retrieved = max((stage["retrieve"].ndcg(validation) for stage in stages), key=lambda v: float(v.mean()))
    told["gate"], verdict = gate(retrieved, after, n, seed)
    alone = [stage.get("rank", stage["retrieve"]).ndcg(validation) for stage in stages]
    best = max(range(len(runs)), key=lambda place: float(alone[place].mean()))
    told["alone"], _ = gate(alone[best], after, n, seed)
    told["alone"]["model"] = runs[best].model.name
    verdict += (
        f"; against {runs[best].model.name} with its own ranker {told['alone']['ndcg10_gain']:+.4f}, "
        f"p = {told['alone']['p']:.4f}"
    )
    if not told["gate"]["kept"]:
        n = 0
        del joint["rank"]
    metrics = {name: stage_metrics(stage, validation, KS, model.data.items) for name, stage in joint.items()}
    return n, verdict, flatten(metrics)
