"""Checks that a model learns: a tiny fit finds the known answer of a checkerboard."""

from __future__ import annotations

from typing import Any

import numpy as np

from honeyguide.conformance.subject import ITEMS, RICH, Subject, walks
from honeyguide.sdk.errors import ConformanceError

__all__ = ["learn", "the_checkerboard_is_learnt"]

_ENOUGH = 0.95
_EPOCHS = 8
_RATES = (0.01, 0.03, 0.003)
"""Learning rates, one round of epochs each until one is enough: no model should fail for its taste in rates."""


def the_checkerboard_is_learnt(subject: Subject) -> str:
    """After seconds of training the model knows what follows on walks where two places on is always next."""
    if not subject.cls.retrieves:
        return "it ranks what others retrieve, and learns from their lists"
    _, scores = subject.fitted
    if max(scores) < _ENOUGH:
        raise ConformanceError(
            f"after {len(scores)} epochs NDCG@10 is {max(scores):.2f} on the checkerboard, where two places on is "
            f"always next (chance: {_chance():.2f}, allowed: {_ENOUGH} or more); let loss compare the scores of "
            "positions with targets, token − 1, where targets is above 0, and look for parameters that get no gradient"
        )
    return ""


def learn(subject: Subject, network: Any) -> list[float]:
    """Fits a network of the subject's in place; returns the validation NDCG@10 of each epoch."""
    from honeyguide.training.fit import FitOptions, fit

    training, held_out = walks(7, 120), walks(8, 60)
    scores: list[float] = []
    for rate in _RATES:
        options = FitOptions.for_model(
            subject.cls, {"lr": rate, "epochs": _EPOCHS, "patience": _EPOCHS, "min_batches": 20}
        )
        result = fit(subject.model(RICH), network, training.histories, held_out, options)
        scores += result.scores
        if max(scores) >= _ENOUGH:
            break
    network.eval()
    return scores


def _chance() -> float:
    """Returns the NDCG@10 of a random order."""
    return float((1 / np.log2(np.arange(2, 12))).sum() / ITEMS)
