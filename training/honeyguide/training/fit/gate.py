"""Decides whether a ranker stays: only where it makes the answers better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.model import Model
from honeyguide.training.evaluation.baselines import TRANSITIONS, counted_baselines
from honeyguide.training.evaluation.differences import Difference, beaten_words, paired_difference
from honeyguide.training.evaluation.stages import KS, flatten, rank_targets, stage_metrics
from honeyguide.training.runs.retrievers import RetrieverRun

__all__ = ["Verdict", "judge"]

_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the validation users say of a trained model."""

    candidates: int
    """How many to rank; 0 where the ranker does not stay."""
    words: str
    """Whether it stays and why; "" where there was none to judge."""
    metrics: dict[str, float]
    """Of the stages that stay, such as "retrieve/ndcg@10"."""
    report: dict[str, Any]
    """JSON-ready: "gate", the comparison that decides; "alone", that with the best retriever's own ranker;
    "transitions", that of the last stage that stays with what followed what, with "words" where it is no better."""


def judge(
    model: Model,
    network: nn.Module,
    retrievers: Sequence[RetrieverRun],
    training: HistoryBatch,
    validation: EvaluationSet,
    candidates: int,
    seed: int,
) -> Verdict:
    """Decides whether a ranker stays: it must improve significantly on the best of what retrieves for it.

    A model that retrieves is the only source of its own candidates. Where others retrieve, it is also said whether it
    beats the best of them with that one's own ranker; that decides nothing: who serves that run alone saves the others.
    Nor does it decide whether what stays beats the transitions of `honeyguide.training.evaluation.transitions`.

    Args:
        model: the model.
        network: its network, trained, on the best device.
        retrievers: what retrieves for it; empty: it does so itself.
        training: all training histories.
        validation: the users that judge.
        candidates: how many to rank, of each source; 0: there is no ranker.
        seed: of the resampling.
    """
    stages = rank_targets(
        model,
        network,
        validation,
        candidates=candidates,
        baselines=counted_baselines(training, model.data.items),
        sources=[run.source for run in retrievers],
        longest=max(KS),
    )
    words, report = "", dict[str, Any]()
    if candidates:
        runs = [rank_targets(*run.source, validation, candidates=run.checkpoint.candidates) for run in retrievers]
        ranked = stages["rank"].ndcg(validation)
        retrieved = max((run["retrieve"].ndcg(validation) for run in runs or [stages]), key=_mean)
        report["gate"], words = _compare(retrieved, ranked, candidates, seed)
        if runs:
            alone = [run.get("rank", run["retrieve"]).ndcg(validation) for run in runs]
            best = max(range(len(runs)), key=lambda place: _mean(alone[place]))
            name = retrievers[best].model.name
            report["alone"] = _compare(alone[best], ranked, candidates, seed)[0] | {"model": name}
            own = " with its own ranker" if "rank" in runs[best] else ""
            which = f" of --retriever {best + 1}" if [run.model.name for run in retrievers].count(name) > 1 else ""
            words += f"; against {name}{which}{own} {_short(report['alone'])}"
        if not report["gate"]["kept"]:
            candidates = 0
            del stages["rank"]
    last = list(stages)[-1]
    over = paired_difference(stages[TRANSITIONS].ndcg(validation), stages[last].ndcg(validation), seed)
    report[TRANSITIONS] = _figures(over) | {"stage": last, "words": beaten_words(last, over)}
    metrics = {name: stage_metrics(stage, validation, KS, model.data.items) for name, stage in stages.items()}
    return Verdict(candidates, words, flatten(metrics), report)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _compare(
    before: NDArray[np.float64], after: NDArray[np.float64], candidates: int, seed: int
) -> tuple[dict[str, Any], str]:
    """Compares the (users,) NDCG@10 without and with a ranker; returns the figures, JSON-ready, and them in words."""
    figures = _figures(paired_difference(before, after, seed))
    kept = figures["ndcg10_gain"] > 0 and figures["p"] < _SIGNIFICANT
    words = f"{'kept' if kept else 'left out'}: NDCG@10 {_short(figures)} on {len(before)} users"
    return {"candidates": candidates, **figures, "kept": kept}, words


def _figures(over: Difference) -> dict[str, Any]:
    return {"ndcg10_gain": over.gain, "ndcg10_interval": [over.low, over.high], "p": over.p}


def _short(figures: Mapping[str, Any]) -> str:
    low, high = figures["ndcg10_interval"]
    return f"{figures['ndcg10_gain']:+.4f} [{low:+.4f}, {high:+.4f}], p = {figures['p']:.4f}"
