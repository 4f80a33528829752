"""Computes metrics of rankings, vectorised over users: how right they are, and how various and new what they show is.

Accuracy takes ranks, not lists: the evaluator computes each relevant item's rank in the full ranking once, and every
metric at every k follows. Definitions: Järvelin & Kekäläinen (2002) for NDCG; Manning, Raghavan & Schütze (2008) for
the rest. What goes beyond accuracy takes the lists that users see; the sources stand with each function.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.history import HistoryBatch
from honeyguide.sdk.items import Categories

__all__ = [
    "auc",
    "coverage",
    "distinct_categories",
    "intra_list_diversity",
    "mask_seen",
    "metrics_at",
    "novelty",
    "per_user_at",
    "target_ranks",
]

Ranks = NDArray[np.floating]


def per_user_at(ranks: Ranks, users: NDArray[np.integer], count: int, k: int) -> dict[str, NDArray[np.float64]]:
    """Computes hr, recall, precision, f1, ndcg, mrr and map at k for each user.

    Args:
        ranks: (targets,) rank of each relevant item in its user's full ranking, from 1; the mean rank on ties;
            inf where the item was not ranked.
        users: (targets,) the user of each, 0 to ``count`` − 1; every user has at least one.
        count: how many users.
        k: the cut.

    Returns:
        By metric, (count,) values in [0, 1].
    """
    relevant = np.bincount(users, minlength=count)  # (count,)
    order = np.lexsort((ranks, users))
    ranks, users = np.asarray(ranks, np.float64)[order], np.asarray(users)[order]
    starts = np.cumsum(relevant) - relevant
    nth = np.arange(len(ranks)) - starts[users] + 1  # this is the user's nth best relevant item, from 1
    hit = ranks <= k
    gain = np.where(hit, 1.0 / np.log2(ranks + 1.0), 0.0)
    hits = np.bincount(users, hit, count)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    precision = hits / k
    recall = hits / relevant
    total = precision + recall
    return {
        "hr": (hits > 0).astype(np.float64),
        "recall": recall,
        "precision": precision,
        "f1": np.divide(2.0 * precision * recall, total, out=np.zeros(count), where=total > 0),
        "ndcg": np.bincount(users, gain, count) / ideal[np.minimum(relevant, k)],
        "mrr": np.bincount(users, np.where(hit & (nth == 1), 1.0 / ranks, 0.0), count),
        "map": np.bincount(users, np.where(hit, nth / ranks, 0.0), count) / np.minimum(relevant, k),
    }


def metrics_at(
    ranks: Ranks,
    users: NDArray[np.integer],
    count: int,
    ks: Sequence[int],
    weights: NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """Averages `per_user_at` over users, by (count,) weights or all alike, for several cuts: "ndcg@10" and so on."""
    return {
        f"{name}@{k}": float(np.average(values, weights=weights))
        for k in ks
        for name, values in per_user_at(ranks, users, count, k).items()
    }


def coverage(recommended: NDArray[np.integer], items: int) -> float:
    """Returns the share of the catalogue that stands in any list; -1 in ``recommended`` is no item."""
    rows = np.unique(recommended)
    return float((rows >= 0).sum() / items)


def intra_list_diversity(lists: NDArray[np.integer], item_vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Computes 1 − the mean cosine of all pairs of a list's items (Ziegler et al., 2005; Castells et al., 2022).

    Args:
        lists: (users, k) recommended rows, -1 for none.
        item_vectors: (items, d). A zero vector is similar to nothing: its cosines are 0.

    Returns:
        (users,) values from 0, all items alike, to 2; 1 where they stand at right angles on average. 0 for a list of
        fewer than two items.
    """
    diversity = np.zeros(len(lists), np.float64)
    for start in range(0, len(lists), 1024):  # bounds the (users, k, d) vectors to some megabytes
        rows = lists[start : start + 1024]
        vectors = item_vectors[np.maximum(rows, 0)].astype(np.float64)  # (users, k, d)
        norms = np.linalg.norm(vectors, axis=2, keepdims=True)
        there = (rows >= 0)[:, :, None]
        vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=there & (norms > 0))
        count = there.sum((1, 2))
        # The squared length of the sum holds every pair's cosine twice, and each item's with itself once.
        pairs = np.square(vectors.sum(1)).sum(1) - np.square(vectors).sum((1, 2))
        mean = np.divide(pairs, count * (count - 1), out=np.ones(len(rows)), where=count > 1)
        diversity[start : start + 1024] = np.clip(1.0 - mean, 0.0, 2.0)
    return diversity


def distinct_categories(lists: NDArray[np.integer], categories: Categories) -> NDArray[np.int64]:
    """Returns, for (users, k) recommended rows, the (users,) number of categories that some item of the list is in."""
    users, places = np.nonzero(lists >= 0)
    rows = lists[users, places]
    first = categories.offsets[rows]
    lengths = categories.offsets[rows + 1] - first
    nth = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes = categories.codes[np.repeat(first, lengths) + nth]
    width = int(codes.max(initial=0)) + 1
    pairs = np.unique(np.repeat(users, lengths) * width + codes)  # each user and category once
    return np.bincount(pairs // width, minlength=len(lists)).astype(np.int64)


def novelty(lists: NDArray[np.integer], popularity: NDArray[np.integer]) -> NDArray[np.float64]:
    """Computes the mean of −log2 p over a list's items: the fewer events an item has, the more bits it is worth.

    p is the chance that a random event is one with the item (the expected free discovery of Vargas & Castells, 2011,
    without its discount and relevance), with 1 added to every item's events so that none is infinitely new.

    Args:
        lists: (users, k) recommended rows, -1 for none.
        popularity: (items,) training events of each item.

    Returns:
        (users,) bits; 0 for an empty list.
    """
    events = popularity.astype(np.float64) + 1.0
    bits = np.log2(events.sum()) - np.log2(events)  # (items,)
    there = lists >= 0
    total = np.where(there, bits[np.maximum(lists, 0)], 0.0).sum(1)
    mean: NDArray[np.float64] = np.divide(total, there.sum(1), out=np.zeros(len(lists)), where=there.any(1))
    return mean


def mask_seen(scores: NDArray[np.float32], histories: HistoryBatch) -> None:
    """Sets, in place, the (users, items) scores of each user's own history to -inf."""
    scores[np.repeat(np.arange(len(histories)), histories.lengths), histories.items] = -np.inf


def target_ranks(
    scores: NDArray[np.float32], target_users: NDArray[np.integer], target_items: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Ranks targets in the full ranking of (users, items) scores.

    Returns:
        (targets,) ranks from 1; items with equal scores share the mean of their ranks; inf where the score is -inf, or
        the target is -1, an item that is not in the catalogue.
    """
    own = np.where(target_items < 0, -np.inf, scores[target_users, target_items])  # (targets,)
    ranks = np.empty(len(own), np.float64)
    for start in range(0, len(own), 1024):  # bounds the (targets, items) comparison to a few megabytes
        rows = scores[target_users[start : start + 1024]]
        score = own[start : start + 1024, None]  # (targets, 1)
        ranks[start : start + 1024] = (rows > score).sum(1) + ((rows == score).sum(1) + 1) / 2.0
    ranks[np.isneginf(own)] = np.inf
    return ranks


def auc(
    ranks: Ranks,
    users: NDArray[np.integer],
    count: int,
    candidates: NDArray[np.integer],
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Returns the mean over users of the share of (target, other) pairs in the right order (Rendle, 2009).

    Args:
        ranks: as in `per_user_at`; a target that was not ranked counts as last.
        users: as in `per_user_at`.
        count: how many users.
        candidates: (users,) how many items were ranked for each, targets included.
        weights: (users,) of the mean; None: all alike.
    """
    relevant = np.bincount(users, minlength=count).astype(np.float64)
    total = np.bincount(users, np.minimum(ranks, candidates[users]), count)
    others = candidates - relevant
    behind = relevant * others - (total - relevant * (relevant + 1) / 2.0)
    value = np.divide(behind, relevant * others, out=np.full(count, 0.5), where=others > 0)
    return float(np.average(np.clip(value, 0.0, 1.0), weights=weights))
