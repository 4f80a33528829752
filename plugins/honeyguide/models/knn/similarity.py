"""Finds each item's most similar items among the ratings, without ever holding all pairs.

``s(i, j) = Σ_u r_ui r_uj / (|i| |j| + λ)``: the cosine of Sarwar, Karypis, Konstan & Riedl (WWW 2001), shrunk towards 0
where little is known, as in Bell & Koren (KDD Cup and Workshop 2007) and the baselines of Ferrari Dacrema, Cremonesi &
Jannach (RecSys 2019). The dense form is `honeyguide.models.neighbourhood.cosine_similarity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from honeyguide.models.knn.ratings import Ratings

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["most_similar", "rating_matrix"]

_CELLS = 1 << 23
"""Pairs of items looked at at once, at most: some 200 MB."""


def rating_matrix(ratings: Ratings, items: int) -> sparse.csr_array:
    """Returns the (users, items) ratings, up to the last user with one."""
    from scipy import sparse

    users = int(ratings.users[-1]) + 1 if len(ratings.users) else 0
    return sparse.csr_array((ratings.values, (ratings.users, ratings.items)), (users, items))


def most_similar(
    ratings: Ratings, items: int, count: int, shrinkage: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns each item's ``count`` most similar others, none of them similar by 0.

    Returns:
        (items, count) tokens (row + 1), best first, of equals the smaller one, 0 where there are fewer; and their
        similarities.
    """
    tokens = np.zeros((items, count), np.int32)
    similarities = np.zeros((items, count), np.float32)
    norms = np.sqrt(np.bincount(ratings.items, ratings.values.astype(np.float64) ** 2, items))
    by_user = rating_matrix(ratings, items)
    by_item = by_user.T.tocsr()
    size = max(1, _CELLS // items)
    for start in range(0, items, size):
        products = by_item[start : start + size] @ by_user
        products.sort_indices()  # so that of equals the smaller one comes first
        pairs = products.tocoo()
        rows, columns = (places.astype(np.int64) for places in pairs.coords)
        similar = pairs.data / (norms[rows + start] * norms[columns] + shrinkage)
        there = (similar > 0) & (rows + start != columns)
        rows, columns, similar = rows[there], columns[there], similar[there]
        # Rows ascend, and stay together: what is added to them is below 1.
        best = np.argsort(rows + 0.5 * (1 - similar / similar.max(initial=1)), kind="stable")
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        stay = rank < count
        best, rows, rank = best[stay], rows[stay] + start, rank[stay]
        tokens[rows, rank] = columns[best] + 1
        similarities[rows, rank] = similar[best]
    return tokens, similarities
