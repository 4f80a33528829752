"""Computes the textbook neighbourhood formulas of collaborative filtering, on dense arrays.

Cosine similarity and the item-based score are those of Sarwar, Karypis, Konstan & Riedl, "Item-based collaborative
filtering recommendation algorithms" (WWW 2001); the user-based weighted mean over the k nearest neighbours is that of
Herlocker, Konstan, Borchers & Riedl, "An algorithmic framework for performing collaborative filtering" (SIGIR 1999),
without its centring on each user's mean.

A rating of 0 means that there is none. These forms hold all pairs, so they are for teaching, for small data, and as the
known answer in tests; what serves is in `honeyguide.models.item_knn` and `honeyguide.models.user_knn`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cosine_similarity", "item_based_scores", "user_based_scores"]

Matrix = NDArray[np.float64]


def cosine_similarity(rows: Matrix, shrinkage: float = 0.0) -> Matrix:
    """Returns the (n, n) cosines between the rows of an (n, d) matrix.

    ``cos(a, b) = a · b / (|a| |b| + λ)``; a row of zeros is similar to nothing, itself included. The shrinkage λ, 0 or
    more, makes less of what few have in common.
    """
    norms = np.linalg.norm(rows, axis=1)  # (n,)
    below = np.outer(norms, norms) + shrinkage
    cosines: Matrix = np.divide(rows @ rows.T, below, out=np.zeros_like(below), where=below > 0)
    return cosines


def user_based_scores(ratings: Matrix, similarity: Matrix, k: int) -> Matrix:
    """Predicts every user's rating of every item from the users most like them.

    ``score(u, i) = Σ_v s(u, v) r(v, i) / Σ_v |s(u, v)|`` over the k users v ≠ u most similar to u who rated i.

    Args:
        ratings: (users, items), 0 where there is none.
        similarity: (users, users), such as `cosine_similarity` of the ratings.
        k: how many neighbours, 1 or more; fewer count where fewer rated the item, or are similar at all.

    Returns:
        (users, items) weighted means; 0 where no neighbour rated the item.
    """
    return _neighbours_mean(similarity, ratings, k)


def item_based_scores(ratings: Matrix, similarity: Matrix, k: int) -> Matrix:
    """Predicts every user's rating of every item from the user's ratings of the items most like it.

    ``score(u, i) = Σ_j s(i, j) r(u, j) / Σ_j |s(i, j)|`` over the k items j ≠ i most similar to i that u rated.

    Args:
        ratings: (users, items), 0 where there is none.
        similarity: (items, items), such as `cosine_similarity` of the ratings transposed.
        k: how many neighbours, 1 or more; fewer count where the user rated fewer, or fewer are similar at all.

    Returns:
        (users, items) weighted means; 0 where the user rated no neighbour.
    """
    return _neighbours_mean(similarity, ratings.T, k).T


def _neighbours_mean(similarity: Matrix, ratings: Matrix, k: int) -> Matrix:
    """Returns (n, m) means over the k nearest of n, where ``ratings`` is (n, m) and ``similarity`` (n, n)."""
    if k < 1:
        raise ValueError(f"k is {k}; allowed: 1 or more")
    others = np.where(np.eye(len(similarity), dtype=np.bool_), 0.0, similarity)
    order = np.argsort(-others, axis=1, kind="stable")  # (n, n), nearest first; ties go to the smaller row
    weight = np.take_along_axis(others, order, 1)[:, :, None]  # (n, n, 1)
    rating = ratings[order]  # (n, n, m): what each neighbour gave
    rated = (rating != 0) & (weight > 0)
    weight = np.where(rated & (np.cumsum(rated, axis=1) <= k), weight, 0.0)
    total = weight.sum(1)  # (n, m)
    mean: Matrix = np.divide((weight * rating).sum(1), total, out=np.zeros_like(total), where=total > 0)
    return mean
