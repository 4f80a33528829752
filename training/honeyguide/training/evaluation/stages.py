"""Ranks held-out targets by full ranking over the catalogue, stage by stage, beside baselines, and measures that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import nn

from honeyguide.sdk.candidates import sourced_candidates, top_k
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.metrics import auc, coverage, mask_seen, metrics_at, per_user_at, target_ranks
from honeyguide.sdk.model import Model
from honeyguide.training.evaluation.baselines import TRANSITIONS, Baseline
from honeyguide.training.evaluation.differences import paired_difference
from honeyguide.training.plugin_calls import plugin_call
from honeyguide.training.scoring.candidates import Source, rerank, score_all
from honeyguide.training.scoring.device import device_of, tensors

__all__ = [
    "KS",
    "StageRanks",
    "compare_stages",
    "evaluate_stages",
    "flatten",
    "rank_targets",
    "stage_metrics",
]

KS = (5, 10, 20)
"""The cuts that are reported unless others are asked for."""
_SCORES = 1 << 24
"""The most scores held at once: 64 MB of float32."""


@dataclass(frozen=True, slots=True)
class StageRanks:
    """Ranks and lists that one stage gives an evaluation set; every metric follows from them."""

    ranks: NDArray[np.float64]
    """(targets,) as in `honeyguide.sdk.metrics.per_user_at`."""
    lists: NDArray[np.int32]
    """(users, longest k) recommended rows, best first, -1 where there are fewer."""
    scores: NDArray[np.float32]
    """(users, longest k) scores of ``lists``, descending; -inf where there are fewer."""
    ranked: NDArray[np.int64]
    """(users,) how many items were ranked for each, and the targets that the catalogue lacks."""

    @classmethod
    def of_scores(
        cls, scores: NDArray[np.float32], data: EvaluationSet, rows: NDArray[np.int32], best: NDArray[np.float32]
    ) -> StageRanks:
        """Ranks the targets among (users, items) scores, whose head is ``rows`` with the scores ``best``."""
        ranks = target_ranks(scores, data.target_users, data.target_items)
        missing = np.bincount(data.target_users[data.target_items < 0], minlength=len(data))  # they count as last
        return cls(ranks, rows, best, np.isfinite(scores).sum(1) + missing)

    def ndcg(self, data: EvaluationSet, k: int = 10) -> NDArray[np.float64]:
        """Returns the (users,) NDCG at k."""
        return per_user_at(self.ranks, data.target_users, len(data), k)["ndcg"]


def evaluate_stages(
    model: Model,
    network: nn.Module,
    data: EvaluationSet,
    *,
    candidates: int = 0,
    baselines: Mapping[str, Baseline] | None = None,
    sources: Sequence[Source] = (),
    ks: Sequence[int] = KS,
    batch_users: int = 256,
) -> dict[str, dict[str, float]]:
    """Computes hr, recall, precision, f1, ndcg, mrr, map and coverage at each k, and auc, of each stage.

    Every item of the catalogue is ranked; what a user has seen is masked unless the data repeats.

    Args:
        model: what encodes.
        network: what scores; it is put into eval mode.
        data: users with their targets.
        candidates: how many items of each source the network reranks; the others keep their order behind. 0 leaves the
            stage "rank" out.
        baselines: more stages by name, which come first; see `honeyguide.training.evaluation.baselines`.
        sources: what retrieves for a model that only ranks; the stage "retrieve" is the first one's. Empty: the model
            retrieves for itself.
        ks: the cuts.
        batch_users: the most users scored at once; it bounds memory and changes no result.

    Returns:
        By stage (the baselines, "retrieve", "rank") the metrics, such as "ndcg@10" and "auc".
    """
    stages = rank_targets(
        model,
        network,
        data,
        candidates=candidates,
        baselines=baselines,
        sources=sources,
        longest=max(ks),
        batch_users=batch_users,
    )
    return {name: stage_metrics(stage, data, ks, model.data.items) for name, stage in stages.items()}


def stage_metrics(stage: StageRanks, data: EvaluationSet, ks: Sequence[int], items: int) -> dict[str, float]:
    """Computes what `evaluate_stages` returns for one stage."""
    values = metrics_at(stage.ranks, data.target_users, len(data), ks, data.weights)
    values |= {f"coverage@{k}": coverage(stage.lists[:, :k], items) for k in ks}
    return values | {"auc": auc(stage.ranks, data.target_users, len(data), stage.ranked, data.weights)}


def compare_stages(stages: Mapping[str, StageRanks], data: EvaluationSet, k: int) -> dict[str, dict[str, float]]:
    """Says how much better each stage's NDCG at k is than that of the one above and of the transitions.

    Returns:
        By stage "above_gain", "above_low", "above_high", and "transitions_gain" and so on for the stages behind them:
        see `honeyguide.training.evaluation.differences`. Nothing for the first stage.
    """
    values = {name: stage.ndcg(data, k) for name, stage in stages.items()}
    names = list(values)
    compared: dict[str, dict[str, float]] = {}
    for above, name in pairwise(names):
        pairs = {"above": above}
        if TRANSITIONS in names and names.index(name) > names.index(TRANSITIONS):
            pairs[TRANSITIONS] = TRANSITIONS
        compared[name] = {}
        for label, other in pairs.items():
            over = paired_difference(values[other], values[name], 0, owners=data.owners)
            compared[name] |= {f"{label}_gain": over.gain, f"{label}_low": over.low, f"{label}_high": over.high}
    return compared


def rank_targets(
    model: Model,
    network: nn.Module,
    data: EvaluationSet,
    *,
    candidates: int = 0,
    baselines: Mapping[str, Baseline] | None = None,
    sources: Sequence[Source] = (),
    longest: int = 0,
    batch_users: int = 256,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, StageRanks]:
    """Ranks the targets of an evaluation set by each stage, as `evaluate_stages` does.

    Args:
        model: as there; so are the arguments that are not named here.
        network: as there.
        data: as there.
        candidates: as there.
        baselines: as there.
        sources: as there.
        longest: the largest k, for which lists are kept.
        batch_users: as there.
        progress: called with the number of users that are done.
    """
    stages: dict[str, StageRanks] = {}
    done = 0
    for users in _chunks(model, data.histories, batch_users):
        targets = np.isin(data.target_users, users)  # both ascend, so the part keeps the order
        parts = _rank_part(model, network, data.take(users), candidates, baselines or {}, sources, longest)
        for name, part in parts.items():
            if name not in stages:
                stages[name] = StageRanks(
                    ranks=np.empty(len(data.target_items), np.float64),
                    lists=np.full((len(data), part.lists.shape[1]), -1, np.int32),
                    scores=np.full((len(data), part.lists.shape[1]), -np.inf, np.float32),
                    ranked=np.zeros(len(data), np.int64),
                )
            stages[name].ranks[targets] = part.ranks
            stages[name].lists[users] = part.lists
            stages[name].scores[users] = part.scores
            stages[name].ranked[users] = part.ranked
        done += len(users)
        progress(done)
    return stages


def _rank_part(
    model: Model,
    network: nn.Module,
    data: EvaluationSet,
    candidates: int,
    baselines: Mapping[str, Baseline],
    sources: Sequence[Source],
    longest: int,
) -> dict[str, StageRanks]:
    """Does `rank_targets` for users few enough to hold all their scores."""
    stages: dict[str, StageRanks] = {}
    for name, baseline in baselines.items():
        counted = baseline(data.histories)  # (users, items)
        if not model.data.repeats:
            mask_seen(counted, data.histories)
        stages[name] = StageRanks.of_scores(counted, data, *top_k(counted, longest))
    # A model that retrieves is the only source of its own candidates.
    scored = [score_all(*source, data.histories) for source in sources or [(model, network)]]
    scores = scored[0][0]
    rows, best = top_k(scores, max(longest, candidates))
    first = StageRanks.of_scores(scores, data, rows[:, :longest], best[:, :longest])
    stages["retrieve"] = first
    if candidates > 0:
        head, retrieval = sourced_candidates([own for own, _ in scored], candidates)  # (users, n), (users, n, sources)
        with plugin_call(model, "rank", data.histories):
            batch = tensors(model, data.histories, device_of(network)) if sources else scored[0][1]
            ranking = rerank(network, batch, head, retrieval)
        order = np.argsort(-ranking, axis=1, kind="stable")
        tail, scale = rows[:, candidates:], _on_one_scale(ranking, best)
        if sources:  # nothing stands behind joint candidates
            tail = np.full((len(rows), longest), -1, np.int32)
            scale = np.concatenate([-np.sort(-ranking, 1), np.full(tail.shape, -np.inf, np.float32)], 1)
        stages["rank"] = StageRanks(
            ranks=_ranks_behind(first.ranks, ranking, head, data),
            lists=np.concatenate([np.take_along_axis(head, order, 1), tail], 1)[:, :longest],
            scores=scale[:, :longest],
            ranked=first.ranked,
        )
    return stages


def flatten(stages: dict[str, dict[str, float]]) -> dict[str, float]:
    """Returns metrics of stages under names such as "retrieve/ndcg@10"."""
    return {f"{stage}/{name}": value for stage, metrics in stages.items() for name, value in metrics.items()}


def _chunks(model: Model, histories: HistoryBatch, batch_users: int) -> Iterator[NDArray[np.int64]]:
    """Yields ascending users of nearly equal length, so that little padding is computed."""
    size = max(min(batch_users, _SCORES // model.data.items), 1)
    order = np.argsort(np.minimum(histories.lengths, model.max_length), kind="stable")
    for start in range(0, len(order), size):
        yield np.sort(order[start : start + size])


def _ranks_behind(
    ranks: NDArray[np.float64], ranking: NDArray[np.float32], rows: NDArray[np.int32], data: EvaluationSet
) -> NDArray[np.float64]:
    """Ranks targets by the ranker where they are candidates, else behind all candidates in retrieval order."""
    match = rows[data.target_users] == np.where(data.target_items < 0, -2, data.target_items)[:, None]  # (targets, n)
    listed = match.any(1)
    # On a tie at the end of the list the mean rank may fall inside it.
    behind: NDArray[np.float64] = np.maximum(ranks, (rows >= 0).sum(1)[data.target_users] + 1.0)
    behind[listed] = target_ranks(ranking, data.target_users[listed], match[listed].argmax(1).astype(np.int32))
    return behind


def _on_one_scale(ranking: NDArray[np.float32], retrieval: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (users, longest) scores of the reranked (users, n), best first, and of those behind, as a server does.

    The retrieval's scores of those behind are shifted so that they go on where the ranker's end.
    """
    count = ranking.shape[1]
    full = np.isfinite(ranking).all(1, keepdims=True)  # where it is not, nobody stands behind
    last = np.where(full, retrieval[:, count - 1 : count], 0.0)
    shift = np.where(full, ranking, 0.0).min(1, keepdims=True) - last
    return np.concatenate([-np.sort(-ranking, axis=1), retrieval[:, count:] + shift], 1).astype(np.float32)
