"""Says which items of a user's history carried what was answered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import HistoryBatch
from honeyguide.server.bundles.bundle import LoadedBundle

__all__ = ["explain"]

Names = tuple[tuple[str, str], ...]
"""Ids and titles."""

_MOST = 3
"""Items of the history that are named."""
_LEAST_SHARE = 0.01
"""Share below which an item of the history carried nothing worth naming."""
_CELLS = 1 << 19
"""Shares computed at once: a graph may hold a vector for each."""


def explain(bundle: LoadedBundle, histories: HistoryBatch, rows: NDArray[np.int32]) -> list[list[Names]]:
    """Names, for each user's items, what carried them; raises what the graph, a plugin's, raises.

    Args:
        bundle: explains.
        histories: of users, none of them empty.
        rows: (users, n) the items, -1 where there is nothing to explain.

    Returns:
        By user and item, id and title of items of the history, most important first.
    """
    size = max(1, _CELLS // max(1, rows.shape[1] * bundle.manifest.max_length))
    names = []
    for start in range(0, len(rows), size):
        chunk = np.arange(start, min(start + size, len(rows)))
        recent = bundle.recent(histories.take(chunk))
        tokens = recent.tokens(bundle.manifest.max_length)  # (chunk, length)
        shares = bundle.explain(bundle.encode(recent), rows[chunk])  # (chunk, n, length)
        if shares.shape != (*rows[chunk].shape, tokens.shape[1]) or not np.isfinite(shares[rows[chunk] >= 0]).all():
            raise ValueError("the shares are not finite or of another shape")
        names += [_strongest(bundle, *user) for user in zip(tokens, shares, rows[chunk], strict=True)]
    return names


def _strongest(
    bundle: LoadedBundle, tokens: NDArray[np.int64], shares: NDArray[np.float32], rows: NDArray[np.int32]
) -> list[Names]:
    """Names what carried each of one user's items; an item met several times has the sum of its shares."""
    items, place = np.unique(tokens, return_inverse=True)
    of_item = shares @ (place[:, None] == np.arange(len(items))).astype(np.float32)  # (n, items)
    of_item[:, items == 0] = 0  # PAD
    best = np.argsort(-of_item, axis=1, kind="stable")[:, :_MOST]
    strong = np.take_along_axis(of_item, best, 1) >= _LEAST_SHARE
    strong &= (rows >= 0)[:, None]
    rows_of_items = items.astype(np.int32) - 1
    names = list(zip(bundle.catalogue.item_ids(rows_of_items), bundle.catalogue.titles(rows_of_items), strict=True))
    return [tuple(names[i] for i in line[named].tolist()) for line, named in zip(best, strong, strict=True)]
