"""Checks that a model learns: a tiny fit finds the known answer of a checkerboard."""

from __future__ import annotations

import numpy as np

from honeyguide.conformance.data import ITEMS
from honeyguide.conformance.fitting import LEARNT
from honeyguide.conformance.subject import Subject
from honeyguide.sdk.errors import ConformanceError

__all__ = ["the_checkerboard_is_learnt"]

_HINTS = {
    True: "let loss compare the scores of positions with targets, token − 1, where targets is above 0",
    False: "one of its retrievers is right and the others guess, so let rank learn whom to trust",
}


def the_checkerboard_is_learnt(subject: Subject) -> str:
    """After seconds of training the model knows what follows on walks where two places on is always next."""
    _, scores = subject.fitted
    if max(scores) < LEARNT:
        raise ConformanceError(
            f"after training NDCG@10 is {max(scores):.2f} on the checkerboard, where two places on is always next "
            f"(chance: {_chance():.2f}, allowed: {LEARNT} or more); {_HINTS[subject.cls.retrieves]}, "
            "and look for parameters that get no gradient"
        )
    return ""


def _chance() -> float:
    """Returns the NDCG@10 of a random order."""
    return float((1 / np.log2(np.arange(2, 12))).sum() / ITEMS)
