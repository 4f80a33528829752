"""Measures a stage: through the trained network, by counting alone, or from the places that a server gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.metrics import mask_seen, per_user_at, target_ranks
from honeyguide.training.dataset import Dataset
from honeyguide.training.evaluation.baselines import counted_baselines
from honeyguide.training.scoring.candidates import Source, retrieve

__all__ = ["candidate_recall", "counted_ranks", "figures", "user_values"]

Values = Mapping[str, NDArray[np.float64]]
"""HR@10 and NDCG@10 of each user, "hr" and "ndcg"."""
_CHUNK = 256


def user_values(ranks: NDArray[np.float64], data: EvaluationSet, k: int = 10) -> Values:
    """Returns each user's figures, by ascending user; of one who asks several times the mean."""
    values = per_user_at(ranks, data.target_users, len(data), k)
    chosen = {name: values[name] for name in ("hr", "ndcg")}
    if data.owners is None:
        return chosen
    _, place, requests = np.unique(data.owners, return_inverse=True, return_counts=True)
    return {name: np.bincount(place, value) / requests for name, value in chosen.items()}


def figures(values: Values, exact: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Averages over users, with the standard error; and over those marked, whose times are exact."""
    row: dict[str, float] = {f"{name}10": value.mean() for name, value in values.items()}
    row |= {f"{name}10_standard_error": value.std(ddof=1) / len(value) ** 0.5 for name, value in values.items()}
    row = {name: round(float(value), 5) for name, value in row.items()} | {"users": len(values["hr"])}
    if exact is not None:
        own = {f"{name}10_exact": round(float(value[exact].mean()), 5) for name, value in values.items()}
        row |= own | {"users_exact": int(exact.sum())}
    return row


def counted_ranks(dataset: Dataset, test: EvaluationSet) -> dict[str, NDArray[np.float64]]:
    """Ranks the targets by popularity and by transitions, counted in the training events."""
    ranks: dict[str, list[NDArray[np.float64]]] = {}
    baselines = counted_baselines(dataset.training(), dataset.spec.items)
    for start in range(0, len(test), _CHUNK):
        part = test.take(np.arange(start, min(start + _CHUNK, len(test))))
        for name, baseline in baselines.items():
            scores = baseline(part.histories)
            if not dataset.spec.repeats:
                mask_seen(scores, part.histories)
            ranks.setdefault(name, []).append(target_ranks(scores, part.target_users, part.target_items))
    return {name: np.concatenate(parts) for name, parts in ranks.items()}


def candidate_recall(sources: list[Source], test: EvaluationSet, n: int) -> float:
    """Returns the share of targets that one of the sources finds."""
    hits = 0
    for start in range(0, len(test), _CHUNK):
        part = test.take(np.arange(start, min(start + _CHUNK, len(test))))
        rows, _ = retrieve(sources, part.histories, n)
        hits += int((rows[part.target_users] == part.target_items[:, None]).any(1).sum())
    return hits / len(test.target_items)
