"""Measures a model by full ranking over the catalogue, stage by stage, beside popularity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from honeyguide.sdk.candidates import ranker_inputs, top_k, union
from honeyguide.sdk.errors import PluginError
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.metrics import auc, coverage, mask_seen, metrics_at, per_user_at, target_ranks
from honeyguide.sdk.model import Model, Network
from honeyguide.training.fit.batches import tensors

__all__ = [
    "KS",
    "Source",
    "StageRanks",
    "best_device",
    "device_of",
    "evaluate",
    "flatten",
    "popularity_of",
    "rank_targets",
    "rerank",
    "retrieve",
    "score_all",
    "stage_metrics",
]

KS = (5, 10, 20)
"""The cuts that are reported unless others are asked for."""
_SCORES = 1 << 24
"""The most scores held at once: 64 MB of float32."""


Source = tuple[Model, nn.Module]
"""A model that retrieves, with its network."""


@dataclass(frozen=True, slots=True)
class StageRanks:
    """Holds what one stage made of an evaluation set; every metric follows from it."""

    ranks: NDArray[np.float64]
    """(targets,) as in `honeyguide.sdk.metrics.per_user_at`."""
    lists: NDArray[np.int32]
    """(users, longest k) recommended rows, best first, -1 where there are fewer."""
    scores: NDArray[np.float32]
    """(users, longest k) scores of ``lists``, descending; -inf where there are fewer."""
    ranked: NDArray[np.int64]
    """(users,) how many items were ranked for each."""

    def ndcg(self, data: EvaluationSet, k: int = 10) -> NDArray[np.float64]:
        """Returns the (users,) NDCG at k."""
        return per_user_at(self.ranks, data.target_users, len(data), k)["ndcg"]


def evaluate(
    model: Model,
    network: nn.Module,
    data: EvaluationSet,
    *,
    candidates: int = 0,
    popularity: NDArray[np.integer] | None = None,
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
        popularity: (items,) events of each item; where given, the stage "popularity" is added.
        sources: what retrieves for a model that only ranks; the stage "retrieve" is the first one's. Empty: the model
            retrieves for itself.
        ks: the cuts.
        batch_users: the most users scored at once; it bounds memory and changes no result.

    Returns:
        By stage ("popularity", "retrieve", "rank") the metrics, such as "ndcg@10" and "auc".
    """
    stages = rank_targets(
        model,
        network,
        data,
        candidates=candidates,
        popularity=popularity,
        sources=sources,
        longest=max(ks),
        batch_users=batch_users,
    )
    return {name: stage_metrics(stage, data, ks, model.data.items) for name, stage in stages.items()}


def stage_metrics(stage: StageRanks, data: EvaluationSet, ks: Sequence[int], items: int) -> dict[str, float]:
    """Computes what `evaluate` returns for one stage."""
    values = metrics_at(stage.ranks, data.target_users, len(data), ks)
    values |= {f"coverage@{k}": coverage(stage.lists[:, :k], items) for k in ks}
    return values | {"auc": auc(stage.ranks, data.target_users, len(data), stage.ranked)}


def rank_targets(
    model: Model,
    network: nn.Module,
    data: EvaluationSet,
    *,
    candidates: int = 0,
    popularity: NDArray[np.integer] | None = None,
    sources: Sequence[Source] = (),
    longest: int = 0,
    batch_users: int = 256,
) -> dict[str, StageRanks]:
    """Ranks the targets of an evaluation set by each stage; as `evaluate` does; ``longest`` is the largest k."""
    stages: dict[str, StageRanks] = {}
    for users in _chunks(model, data.histories, batch_users):
        targets = np.isin(data.target_users, users)  # both ascend, so the part keeps the order
        parts = _rank_part(model, network, data.take(users), candidates, popularity, sources, longest)
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
    return stages


def _rank_part(
    model: Model,
    network: nn.Module,
    data: EvaluationSet,
    candidates: int,
    popularity: NDArray[np.integer] | None,
    sources: Sequence[Source],
    longest: int,
) -> dict[str, StageRanks]:
    """Does `rank_targets` for users few enough to hold all their scores."""
    stages: dict[str, StageRanks] = {}
    if popularity is not None:
        counts = np.tile(popularity.astype(np.float32), (len(data), 1))  # (users, items)
        if not model.data.repeats:
            mask_seen(counts, data.histories)
        rows, best = top_k(counts, longest)
        stages["popularity"] = StageRanks(
            ranks=target_ranks(counts, data.target_users, data.target_items),
            lists=rows,
            scores=best,
            ranked=np.isfinite(counts).sum(1),
        )
    found = [score_all(*source, data.histories) for source in sources or [(model, network)]]
    scores = found[0][0]
    rows, best = top_k(scores, max(longest, candidates))
    first = StageRanks(
        ranks=target_ranks(scores, data.target_users, data.target_items),
        lists=rows[:, :longest],
        scores=best[:, :longest],
        ranked=np.isfinite(scores).sum(1),
    )
    stages["retrieve"] = first
    if candidates > 0:
        head, given = _candidates([part for part, _ in found], candidates)  # (users, n), (users, n, sources)
        batch = tensors(model, data.histories, device_of(network)) if sources else found[0][1]
        again = rerank(network, batch, head, given)
        order = np.argsort(-again, axis=1, kind="stable")
        tail, scale = rows[:, candidates:], _on_one_scale(again, best)
        if sources:  # nothing stands behind joint candidates
            tail = np.full((len(rows), longest), -1, np.int32)
            scale = np.concatenate([-np.sort(-again, 1), np.full(tail.shape, -np.inf, np.float32)], 1)
        stages["rank"] = StageRanks(
            ranks=_behind(first.ranks, again, head, data),
            lists=np.concatenate([np.take_along_axis(head, order, 1), tail], 1)[:, :longest],
            scores=scale[:, :longest],
            ranked=first.ranked,
        )
    return stages


def retrieve(
    sources: Sequence[Source], histories: HistoryBatch, n: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns the candidates of histories, none of them empty, as a server finds them.

    Args:
        sources: what retrieves; all have one catalogue.
        histories: the users.
        n: how many items each source finds.

    Returns:
        (users, m) rows: the first source's best first, then what is new in the second's, and so on, -1 where there are
        fewer; and (users, m, sources) the score that each source gives each row, whoever found it.
    """
    return _candidates([score_all(model, network, histories)[0] for model, network in sources], n)


def _candidates(scores: Sequence[NDArray[np.float32]], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Does `retrieve` for the (users, items) scores of each source."""
    if len(scores) == 1:
        rows, best = top_k(scores[0], n)
        return rows, best[:, :, None]
    rows = union([top_k(part, n)[0] for part in scores]).astype(np.int32)
    given = np.stack([np.take_along_axis(part, np.maximum(rows, 0), 1) for part in scores], 2)
    return rows, np.where(rows[:, :, None] < 0, np.float32(-np.inf), given)


@torch.inference_mode()
def score_all(
    model: Model, network: nn.Module, histories: HistoryBatch, seen: HistoryBatch | None = None
) -> tuple[NDArray[np.float32], dict[str, torch.Tensor]]:
    """Scores the whole catalogue for histories, none of them empty.

    Returns:
        (users, items) scores, -inf where the user has seen the item (in ``histories``, or in ``seen`` where it is
        given) and the data does not repeat; and the encoded batch on the network's device.

    Raises:
        PluginError: a score is not a number.
    """
    network.eval()
    part = cast("Network", network)
    batch = tensors(model, histories, device_of(network))
    scores = (part.user(batch) @ part.items().T).float().cpu().numpy()
    if not np.isfinite(scores).all():
        raise PluginError(
            f"model {model.name!r} gave scores that are not finite numbers; "
            "train with a smaller learning rate (--lr), or look for a division by zero in the model"
        )
    if not model.data.repeats:
        mask_seen(scores, histories if seen is None else seen)
    return scores, batch


@torch.inference_mode()
def rerank(
    network: nn.Module, batch: dict[str, torch.Tensor], rows: NDArray[np.int32], retrieval: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scores (users, n) candidate rows by the network's ranker; -inf where the row is -1.

    Args:
        network: it ranks.
        batch: the encoded users, on the network's device.
        rows: (users, n).
        retrieval: (users, n, sources) retrieval scores, or (users, n) of one source.
    """
    calls: Any = network  # `rank` is optional, so the protocol lacks it
    device = device_of(network)
    inputs = ranker_inputs(rows, retrieval.reshape(*rows.shape, -1))
    scores = calls.rank(batch, *(torch.from_numpy(array).to(device) for array in inputs.values())).float().cpu().numpy()
    scores = np.where(rows < 0, -np.inf, scores).astype(np.float32)
    if np.isnan(scores).any():
        raise PluginError("the ranker gave scores that are not numbers; train with a smaller ranker_lr")
    return scores


def popularity_of(histories: HistoryBatch, items: int) -> NDArray[np.int64]:
    """Returns the (items,) events of each item."""
    return np.bincount(histories.items, minlength=items).astype(np.int64)


def flatten(stages: dict[str, dict[str, float]]) -> dict[str, float]:
    """Returns metrics of stages under names such as "retrieve/ndcg@10"."""
    return {f"{stage}/{name}": value for stage, metrics in stages.items() for name, value in metrics.items()}


def best_device() -> torch.device:
    """Returns the accelerator where there is one, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def device_of(network: nn.Module) -> torch.device:
    """Returns where the network's parameters, or else its buffers, live."""
    first = next(chain(network.parameters(), network.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def _chunks(model: Model, histories: HistoryBatch, batch_users: int) -> Iterator[NDArray[np.int64]]:
    """Yields ascending users of nearly equal length, so that little padding is computed."""
    size = max(min(batch_users, _SCORES // model.data.items), 1)
    order = np.argsort(np.minimum(histories.lengths, model.max_length), kind="stable")
    for start in range(0, len(order), size):
        yield np.sort(order[start : start + size])


def _behind(
    ranks: NDArray[np.float64], again: NDArray[np.float32], rows: NDArray[np.int32], data: EvaluationSet
) -> NDArray[np.float64]:
    """Ranks targets by the ranker where they are candidates, else behind all candidates in retrieval order."""
    match = rows[data.target_users] == data.target_items[:, None]  # (targets, n)
    found = match.any(1)
    reranked = target_ranks(again, data.target_users[found], match[found].argmax(1).astype(np.int32))
    # On a tie at the end of the list the mean rank may fall inside it.
    ranks = np.maximum(ranks, (rows >= 0).sum(1)[data.target_users] + 1.0)
    ranks[found] = reranked
    return ranks


def _on_one_scale(again: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (users, longest) scores of the reranked (users, n), best first, and of those behind, as a server does.

    The retrieval's scores of those behind are shifted so that they go on where the ranker's end.
    """
    count = again.shape[1]
    full = np.isfinite(again).all(1, keepdims=True)  # where it is not, nobody stands behind
    shift = np.where(full, again, 0.0).min(1, keepdims=True) - np.where(full, before[:, count - 1 : count], 0.0)
    return np.concatenate([-np.sort(-again, axis=1), before[:, count:] + shift], 1).astype(np.float32)
