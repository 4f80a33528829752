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
from honeyguide.sdk.candidates import top_k

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
    norms = np.sqrt(np.bincount(ratings.items, ratings.values.astype(np.float64) ** 2, items)).astype(np.float32)
    by_user = rating_matrix(ratings, items)
    by_item = by_user.T.tocsr()
    size = max(1, _CELLS // items)
    for start in range(0, items, size):
        rows = np.arange(start, min(start + size, items))
        products = (by_item[start : start + size] @ by_user).toarray()  # (rows, items)
        below = norms[rows, None] * norms + np.float32(shrinkage)
        similar = np.divide(products, below, out=np.zeros_like(products), where=products > 0)
        similar[rows - start, rows] = 0
        best, scores = top_k(similar, count)
        tokens[rows, : best.shape[1]] = np.where(scores > 0, best + 1, 0)
        similarities[rows, : best.shape[1]] = scores
    return tokens, similarities
