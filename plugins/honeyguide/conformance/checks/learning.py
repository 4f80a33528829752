"""Checks that a model learns: a tiny fit finds the known answer of a checkerboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from honeyguide.conformance.data import ITEMS, RICH, item_table, walks
from honeyguide.conformance.subject import Subject
from honeyguide.sdk.errors import ConformanceError

__all__ = ["learn", "the_checkerboard_is_learnt"]

_ENOUGH = 0.95
_EPOCHS = 8
_RATES = (0.01, 0.03, 0.003)
"""Learning rates, one round of epochs each until one is enough: no model should fail for its taste in rates."""
_HINTS = {
    True: "let loss compare the scores of positions with targets, token − 1, where targets is above 0",
    False: "one of its retrievers is right and the others guess, so let rank learn whom to trust",
}


def the_checkerboard_is_learnt(subject: Subject) -> str:
    """After seconds of training the model knows what follows on walks where two places on is always next."""
    _, scores = subject.fitted
    if max(scores) < _ENOUGH:
        raise ConformanceError(
            f"after training NDCG@10 is {max(scores):.2f} on the checkerboard, where two places on is always next "
            f"(chance: {_chance():.2f}, allowed: {_ENOUGH} or more); {_HINTS[subject.cls.retrieves]}, "
            "and look for parameters that get no gradient"
        )
    return ""


def learn(subject: Subject, network: Any) -> list[float]:
    """Fits a network of the subject's in place, and returns the validation NDCG@10 on the way."""
    scores: list[float] = []
    for rate in _RATES:
        scores += _fit(subject, network, rate) if subject.cls.retrieves else _fit_ranker(subject, network, rate)
        if max(scores) >= _ENOUGH:
            break
    network.eval()
    return scores


def _fit(subject: Subject, network: Any, rate: float) -> Sequence[float]:
    """Returns the NDCG@10 before the first epoch, then after each."""
    from honeyguide.training.fit.retriever import FitOptions, fit

    given = {"lr": rate, "epochs": _EPOCHS, "patience": _EPOCHS, "min_batches": 20}
    options = FitOptions.for_model(subject.cls, given)
    return fit(subject.model(RICH), network, walks(7, 120).histories, walks(8, 60), options, items=item_table()).scores


def _fit_ranker(subject: Subject, network: Any, rate: float) -> Sequence[float]:
    """Fits a model that only ranks, on lists of the stand-ins; returns the NDCG@10 at the end."""
    from honeyguide.training.evaluation.stages import rank_targets
    from honeyguide.training.fit.ranker import fit_ranker, hold_back, make_lists
    from honeyguide.training.fit.retriever import FitOptions, observe

    model, training, held_out = subject.model(RICH), walks(7, 120).histories, walks(8, 60)
    given = {"ranker_lr": rate, "ranker_epochs": _EPOCHS, "ranker_patience": _EPOCHS, "ranker_batch": 16}
    options = FitOptions.for_model(subject.cls, given | {"ranker_tail": 2})
    part, examples = hold_back(training, options.ranker_tail, options.seed)
    observe(model, network, part, item_table())
    lists = make_lists(subject.retrievers, training, examples, ITEMS)
    fit_ranker(model, network, training, lists, options)
    stages = rank_targets(model, network, held_out, candidates=ITEMS, sources=subject.retrievers)
    return [float(stages["rank"].ndcg(held_out).mean())]


def _chance() -> float:
    """Returns the NDCG@10 of a random order."""
    return float((1 / np.log2(np.arange(2, 12))).sum() / ITEMS)
