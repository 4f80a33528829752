"""Offers what every model is shown beside: popularity, and what followed what. Both only count."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.history import HistoryBatch
from honeyguide.training.evaluation.transitions import TransitionGraph

__all__ = ["POPULARITY", "TRANSITIONS", "Baseline", "counted_baselines"]

Baseline = Callable[[HistoryBatch], NDArray[np.float32]]
"""Scores the whole catalogue for users: (users, items), in an array that may be written to."""
POPULARITY, TRANSITIONS = "popularity", "transitions"
"""Names of the stages."""


def counted_baselines(training: HistoryBatch, items: int) -> Mapping[str, Baseline]:
    """Returns both baselines, counted in training events, in the order of the tables."""
    counts = np.bincount(training.items, minlength=items).astype(np.float32)
    return {
        POPULARITY: lambda histories: np.tile(counts, (len(histories), 1)),
        TRANSITIONS: TransitionGraph(training, items).scores,
    }
