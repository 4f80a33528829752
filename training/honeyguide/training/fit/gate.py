"""Decides whether a ranker stays: only where it makes the answers better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.model import Model
from honeyguide.training.evaluation.stages import KS, flatten, popularity_of, rank_targets, stage_metrics
from honeyguide.training.runs.retrievers import RetrieverRun

__all__ = ["Verdict", "judge", "paired_bootstrap"]

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
    """JSON-ready: "gate", the comparison that decides, and "alone", that with the best retriever's own ranker."""


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
        popularity=popularity_of(training, model.data.items),
        sources=[run.source for run in retrievers],
        longest=max(KS),
    )
    words, report = "", {}
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
            gain, p = report["alone"]["ndcg10_gain"], report["alone"]["p"]
            words += f"; against {name} with its own ranker {gain:+.4f}, p = {p:.4f}"
        if not report["gate"]["kept"]:
            candidates = 0
            del stages["rank"]
    metrics = {name: stage_metrics(stage, validation, KS, model.data.items) for name, stage in stages.items()}
    return Verdict(candidates, words, flatten(metrics), report)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _compare(
    before: NDArray[np.float64], after: NDArray[np.float64], candidates: int, seed: int
) -> tuple[dict[str, Any], str]:
    """Compares the (users,) NDCG@10 without and with a ranker; returns the figures, JSON-ready, and them in words."""
    p = paired_bootstrap(before, after, seed)
    gain = _mean(after) - _mean(before)
    kept = gain > 0 and p < _SIGNIFICANT
    words = f"{'kept' if kept else 'left out'}: NDCG@10 {gain:+.4f} on {len(before)} users, p = {p:.4f}"
    return {"candidates": candidates, "ndcg10_gain": gain, "p": p, "kept": kept}, words


def paired_bootstrap(
    before: NDArray[np.float64], after: NDArray[np.float64], seed: int, samples: int = 10_000
) -> float:
    """Returns the one-sided p-value that ``after`` is no better than ``before``, by resampling users in pairs.

    The share of resampled mean differences that are not above 0 (Efron & Tibshirani, 1993), one more counted in, so
    never 0. How often each distinct difference is sample is multinomial, so users need not be sample one by one.

    Args:
        before: (users,) a metric of each user.
        after: (users,) the same users' metric, to be shown better.
        seed: of the resampling.
        samples: how many times to resample.
    """
    values, counts = np.unique(after - before, return_counts=True)
    rng = np.random.default_rng(seed)
    rows = max((1 << 22) // len(values), 1)
    not_better = 0
    for start in range(0, samples, rows):
        sample = rng.multinomial(len(before), counts / len(before), size=min(rows, samples - start))
        not_better += int((sample @ values <= 1e-12 * len(before)).sum())
    return (1 + not_better) / (1 + samples)
