"""Measures what rules do to a ranking: accuracy on one side, variety and novelty on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import nn

from honeyguide.sdk import Categories, Network, RankedCandidates, Rule
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import ConfigError, PluginError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.metrics import coverage, distinct_categories, intra_list_diversity, metrics_at, novelty
from honeyguide.training.dataset import number_categories
from honeyguide.training.evaluation.stages import StageRanks, stage_metrics

__all__ = ["CANDIDATES", "ItemFacts", "list_length", "measure", "reorder"]

CANDIDATES = 100
"""Candidates that a rule chooses from where nothing is reranked: as many as in a server's pipeline."""
_USERS = 256
"""Users given to a rule at once; it bounds memory and changes no result."""


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """Vectors, categories and popularity of the items: what rules and metrics know of them."""

    vectors: NDArray[np.float32]
    """(items, d) the vectors that retrieve; d is 0 where the network scores the catalogue without any."""
    categories: Categories
    popularity: NDArray[np.int64]
    """(items,) training events."""

    @classmethod
    def of(cls, items: pl.DataFrame, network: nn.Module) -> ItemFacts:
        """Takes them from a data set's items, and the vectors from the network that retrieves."""
        vectors = np.empty((items.height, 0), np.float32)
        if capabilities_of(network).scores is None:
            with torch.inference_mode():
                vectors = cast("Network", network.eval()).items().float().cpu().numpy()
        categories, _ = number_categories(items["categories"])
        return cls(vectors, categories, items["popularity"].to_numpy().astype(np.int64))


def list_length(ks: Sequence[int], candidates: int) -> int:
    """Returns how many items of each user `measure` needs: the ``longest`` of `rank_targets`."""
    return max(*ks, candidates or CANDIDATES)


def measure(
    stages: Mapping[str, StageRanks],
    rules: Mapping[str, Rule],
    data: EvaluationSet,
    facts: ItemFacts,
    *,
    ks: Sequence[int],
    candidates: int = 0,
) -> dict[str, dict[str, float]]:
    """Computes the metrics of each stage, and of the last one after each rule alone.

    Accuracy after a rule is that of the k items that it leaves, without the popular items that a server fills a short
    answer with. The order of the list decides between equal scores, where the stages share the mean rank.

    Args:
        stages: what `rank_targets` returns, with lists of at least `list_length`.
        rules: rules by the name that is shown.
        data: users with their targets.
        facts: the items.
        ks: the cuts.
        candidates: how many items are reranked; that many a rule chooses from, or k where that is more.

    Returns:
        By stage ("retrieve", "rank", "rank + diversity" …) the metrics of `evaluate_stages`, and at each k "novelty",
        where items have vectors "diversity", and where they have any "categories": see `honeyguide.sdk.metrics`. A
        rule's list is no full ranking and so has no "auc".
    """
    items = len(facts.vectors)
    measured = {
        name: stage_metrics(stage, data, ks, items) | _beyond({k: stage.lists[:, :k] for k in ks}, facts, data.weights)
        for name, stage in stages.items()
    }
    last, stage = list(stages.items())[-1]
    for name, rule in rules.items():
        lists = {k: reorder(rule, stage, data, facts, k, max(k, candidates or CANDIDATES)) for k in ks}
        values: dict[str, float] = {}
        for k in ks:
            values |= metrics_at(_ranks(lists[k], data), data.target_users, len(data), [k], data.weights)
        values |= {f"coverage@{k}": coverage(lists[k], items) for k in ks}
        measured[f"{last} + {name}"] = values | _beyond(lists, facts, data.weights)
    return measured


def reorder(
    rule: Rule, stage: StageRanks, data: EvaluationSet, facts: ItemFacts, k: int, depth: int
) -> NDArray[np.int32]:
    """Returns (users, k) rows: the first k that a rule leaves of each user's first ``depth``, -1 where it leaves fewer.

    Raises `ConfigError` where the rule needs vectors and there are none, `PluginError` where it fails.
    """
    if rule.needs_vectors and not facts.vectors.shape[1]:
        raise ConfigError(f"rule {rule.name!r} compares item vectors, and the model has none: leave it out")
    lists = np.full((len(data), k), -1, np.int32)
    for start in range(0, len(data), _USERS):
        users = np.arange(start, min(start + _USERS, len(data)))
        rows, scores = stage.lists[users, :depth], stage.scores[users, :depth]
        ranking = RankedCandidates(rows, scores, facts.vectors, data.histories.take(users), facts.categories)
        try:
            places = rule.apply(ranking, k)
            chosen = np.where(places >= 0, np.take_along_axis(rows, np.maximum(places, 0), 1), -1)
        except Exception as error:  # boundary: a plugin's rule
            raise PluginError(f"rule {rule.name!r} failed ({type(error).__name__}: {error}); ask its author") from error
        chosen = np.take_along_axis(chosen, np.argsort(chosen < 0, axis=1, kind="stable"), 1)[:, :k]
        lists[users, : chosen.shape[1]] = chosen
    return lists


def _ranks(lists: NDArray[np.int32], data: EvaluationSet) -> NDArray[np.float64]:
    """Returns the (targets,) place of each target in its user's list, from 1; inf where it is not there."""
    match = lists[data.target_users] == np.where(data.target_items < 0, -2, data.target_items)[:, None]  # (targets, k)
    return np.where(match.any(1), match.argmax(1) + 1.0, np.inf)


def _beyond(
    lists: Mapping[int, NDArray[np.int32]], facts: ItemFacts, weights: NDArray[np.float64] | None
) -> dict[str, float]:
    """Averages what goes beyond accuracy over users, by weights or all alike, for the (users, k) lists of each k."""
    values: dict[str, NDArray[Any]] = {}
    if facts.vectors.shape[1]:
        values = {f"diversity@{k}": intra_list_diversity(rows, facts.vectors) for k, rows in lists.items()}
    if len(facts.categories.codes):
        values |= {f"categories@{k}": distinct_categories(rows, facts.categories) for k, rows in lists.items()}
    values |= {f"novelty@{k}": novelty(rows, facts.popularity) for k, rows in lists.items()}
    return {name: float(np.average(each, weights=weights)) for name, each in values.items()}
