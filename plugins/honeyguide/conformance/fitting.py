"""Fits a network for the checkerboard in seconds, as training fits it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from honeyguide.conformance.data import ITEMS, item_table, walks
from honeyguide.sdk import Model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LEARNT", "fit_for_checkerboard"]

LEARNT = 0.95
"""The validation NDCG@10 from which on a model knows the checkerboard."""
_EPOCHS = 8
_RATES = (0.01, 0.03, 0.003)
"""Learning rates, one round of epochs each until one is enough: no model should fail for its taste in rates."""

Sources = Sequence[tuple[Model, Any]]


def fit_for_checkerboard(model: Model, network: nn.Module, sources: Sources) -> list[float]:
    """Fits a network in place and leaves it in evaluation mode.

    Args:
        model: the model that the network belongs to, over `honeyguide.conformance.data.RICH`.
        network: its untrained network.
        sources: what retrieves for a model that only ranks: models and their networks.

    Returns:
        The validation NDCG@10 on the way.
    """
    scores: list[float] = []
    for rate in _RATES:
        scores += _fit(model, network, rate) if model.retrieves else _fit_ranker(model, network, sources, rate)
        if max(scores) >= LEARNT:
            break
    network.eval()
    return scores


def _fit(model: Model, network: nn.Module, rate: float) -> Sequence[float]:
    """Returns the NDCG@10 before the first epoch, then after each."""
    from honeyguide.training.fit.options import FitOptions
    from honeyguide.training.fit.retriever import fit

    given = {"lr": rate, "epochs": _EPOCHS, "patience": _EPOCHS, "min_batches": 20}
    options = FitOptions.for_model(type(model), given)
    return fit(model, network, walks(7, 120).histories, walks(8, 60), options, items=item_table()).scores


def _fit_ranker(model: Model, network: nn.Module, sources: Sources, rate: float) -> Sequence[float]:
    """Fits a model that only ranks, on lists of its sources; returns the NDCG@10 at the end."""
    from honeyguide.training.evaluation.stages import rank_targets
    from honeyguide.training.fit.options import FitOptions
    from honeyguide.training.fit.ranker import fit_ranker, hold_back, make_lists
    from honeyguide.training.fit.retriever import observe

    training, held_out = walks(7, 120).histories, walks(8, 60)
    given = {"ranker_lr": rate, "ranker_epochs": _EPOCHS, "ranker_patience": _EPOCHS, "ranker_batch": 16}
    options = FitOptions.for_model(type(model), given | {"ranker_tail": 2})
    part, examples = hold_back(training, options.ranker_tail, options.seed)
    observe(model, network, part, item_table())
    lists = make_lists(sources, training, examples, ITEMS)
    fit_ranker(model, network, training, lists, options)
    stages = rank_targets(model, network, held_out, candidates=ITEMS, sources=sources)
    return [float(stages["rank"].ndcg(held_out).mean())]
