"""Turns arrays of candidates into answers, each of k items where k exist."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honeyguide.server.bundles.catalogue import Catalogue, ItemFilter
from honeyguide.server.bundles.retrieval import Candidates, Limits, most_popular
from honeyguide.server.serving.histories import Histories, UserState
from honeyguide.server.serving.queries import Answer, ItemSource

__all__ = ["fill", "make_answers"]

Rows = NDArray[np.int32]


def fill(
    catalogue: Catalogue, ranking: Candidates, considered: Rows, limits: Limits, ks: NDArray[np.int_]
) -> tuple[Candidates, NDArray[np.int_]]:
    """Closes each user's items up and fills what is missing to k with popular ones; returns the sources, too.

    What a rule dropped of the (users, n) rows ``considered`` does not come back as a popular item.
    """
    order = np.argsort(ranking.rows < 0, axis=1, kind="stable")[:, : int(ks.max())]
    rows, scores = np.take_along_axis(ranking.rows, order, 1), np.take_along_axis(ranking.scores, order, 1)
    beyond = np.arange(rows.shape[1]) >= ks[:, None]
    rows[beyond], scores[beyond] = -1, -np.inf
    sources = np.where(rows >= 0, ItemSource.RETRIEVED, ItemSource.POPULAR)
    have = (rows >= 0).sum(1)
    short = np.flatnonzero(have < ks)
    if short.size:
        extra = most_popular(
            catalogue.popular_order, limits.take(short).without(considered[short]), ks[short] - have[short]
        )  # (short, most missing)
        user, place = np.nonzero(extra >= 0)
        to = (short[user], have[short[user]] + place)
        # Below the user's last retrieved item, or below 1: popularity is a share of 0–1.
        lowest = np.where(rows[short] >= 0, scores[short], np.inf).min(1, initial=np.inf)
        base = np.where(np.isinf(lowest), 1.0, lowest) - 1.0
        rows[to] = extra[user, place]
        scores[to] = base[user] + catalogue.popularity[extra[user, place]]
    return Candidates(rows, scores), sources


def make_answers(
    catalogue: Catalogue,
    models: tuple[tuple[str, int], ...],
    source_model: str,
    ranking: Candidates,
    sources: NDArray[np.int_],
    ks: Sequence[int],
    histories: Histories | None = None,
    degraded_reasons: tuple[str, ...] = (),
    filters: Sequence[ItemFilter | None] = (),
) -> list[Answer]:
    """Cuts (users, n) arrays into one answer for each user.

    Args:
        catalogue: knows the items.
        models: name and version of the bundles that took part.
        source_model: name of the one whose scores these are.
        ranking: the items, -1 behind the last.
        sources: (users, n) where each comes from.
        ks: (users,) how many items each gets at most.
        histories: of the users; None: the answers are not for users.
        degraded_reasons: why a part of the pipeline did not run.
        filters: (users,) whose unknown categories the answers name; empty: nobody has any.
    """
    unknown = {id(limit): catalogue.unknown_categories(limit) for limit in filters}
    lengths = np.minimum((ranking.rows >= 0).sum(1), ks)
    answers = []
    for user, length in enumerate(lengths.tolist()):
        rows = ranking.rows[user, :length]
        answers.append(
            Answer(
                models=models,
                source_model=source_model,
                item_ids=catalogue.item_ids(rows),
                scores=ranking.scores[user, :length].tolist(),
                sources=sources[user, :length].tolist(),
                titles=catalogue.titles(rows),
                user_state=UserState.ANONYMOUS if histories is None else histories.states[user],
                unknown_history_items=0 if histories is None else int(histories.unknown[user]),
                degraded_reasons=degraded_reasons,
                unknown_categories=unknown[id(filters[user])] if filters else (),
            )
        )
    return answers
