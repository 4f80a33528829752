"""Applies a rule, a plugin's step after ranking, and holds it to its contract."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import HistoryBatch, RankedCandidates, Rule
from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.retrieval import Candidates

__all__ = ["apply_rule"]


def apply_rule(
    rule: Rule, bundle: LoadedBundle, histories: HistoryBatch, candidates: Candidates, ks: NDArray[np.int_]
) -> Candidates:
    """Returns the candidates as the rule leaves them: every item keeps its own score.

    Args:
        rule: reorders and drops.
        bundle: whose answer it is.
        histories: of the users.
        candidates: (users, n) in the order of the ranking.
        ks: (users,) how many items each asked for.

    Raises `ValueError` where the rule breaks its contract or needs vectors and there are none, and what it raises.
    """
    rows, scores = np.full_like(candidates.rows, -1), np.full_like(candidates.scores, -np.inf)
    if rule.needs_vectors and not bundle.retrievers[0].item_vectors.shape[1]:
        raise ValueError(f"rule {rule.name!r} compares item vectors, and {bundle.retrievers[0].key[0]!r} has none")
    for k in np.unique(ks):
        users = np.flatnonzero(ks == k)
        ranking = RankedCandidates(
            rows=candidates.rows[users],
            scores=candidates.scores[users],
            item_vectors=bundle.retrievers[0].item_vectors,
            history=histories.take(users),
            categories=bundle.catalogue.categories,
        )
        places = _checked(rule.apply(ranking, int(k)), ranking.rows)
        width = places.shape[1]
        rows[users, :width] = np.where(places >= 0, np.take_along_axis(ranking.rows, places, 1), -1)
        scores[users, :width] = np.where(places >= 0, np.take_along_axis(ranking.scores, places, 1), -np.inf)
    return Candidates(rows, scores)


def _checked(places: NDArray[np.intp], rows: NDArray[np.int32]) -> NDArray[np.intp]:
    """Returns a rule's places, the first n of them; raises where they break the contract."""
    places = np.asarray(places)
    batch, width = rows.shape
    if places.ndim != 2 or len(places) != batch or places.dtype.kind != "i":
        raise ValueError(f"a rule answered {places.dtype} {places.shape} for {batch} users")
    if places.size and (places.min() < -1 or places.max() >= width):
        raise ValueError(f"a rule answered places outside of -1 to {width - 1}")
    ordered = np.sort(places, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError("a rule answered a place twice")
    order = np.argsort(places < 0, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(places, order, 1)
