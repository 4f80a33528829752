"""Turns arrays of candidates into answers, each of k items where k exist; they stay columns until one is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray

from honeyguide.server.bundles.catalogue import Catalogue, ItemNames
from honeyguide.server.bundles.retrieval import Candidates, Limits, most_popular
from honeyguide.server.serving.histories import UserState
from honeyguide.server.serving.queries import Answer, ItemSource

__all__ = ["Answers", "fill"]

Rows = NDArray[np.int32]
Names = tuple[tuple[str, str], ...]
"""Ids and titles."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers(Sequence[Answer]):
    """Answers to a batch of queries, as columns: user i has the first ``lengths[i]`` of row i, best first."""

    catalogue: ItemNames
    models: tuple[tuple[str, int], ...]
    """Name and version of the bundles that took part, retrieval first."""
    source_model: str
    """Name of the model whose scores these are, but for the popular items."""
    rows: Rows
    """(users, n) catalogue rows; what stands behind a user's last item means nothing."""
    scores: NDArray[np.float32]
    """(users, n)"""
    sources: NDArray[np.int_]
    """(users, n) `ItemSource`."""
    lengths: Sequence[int]
    states: Sequence[UserState] = ()
    """By user; empty: the answers are not for users."""
    unknown: Sequence[int] = ()
    """By user, the events of the history whose item the catalogue lacks; empty: none."""
    reasons: Sequence[tuple[str, ...]] = ()
    """By user, why a part of the pipeline did not run; empty: all did for all."""
    unknown_categories: Sequence[tuple[str, ...]] = ()
    """By user, the filter's categories that no item has; empty: nobody has any."""
    unknown_item_ids: Sequence[tuple[str, ...]] = ()
    """By user, the candidates that the catalogue lacks; empty: nobody has any."""
    because_items: Mapping[int, Sequence[Names]] = field(default_factory=dict)
    """By user who asked for it, and by item, what of the history carried it."""
    arm: str = ""
    """The pipeline that was drawn to answer; "": the one that was asked has no arms."""

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, user: int) -> Answer: ...
    @overload
    def __getitem__(self, user: slice) -> list[Answer]: ...
    def __getitem__(self, user: int | slice) -> Answer | list[Answer]:
        """Reads one user's answer, or several."""
        if isinstance(user, slice):
            return [self[i] for i in range(*user.indices(len(self)))]
        length = self.lengths[user]
        rows = self.rows[user, :length]
        return Answer(
            models=self.models,
            source_model=self.source_model,
            item_ids=self.catalogue.item_ids(rows),
            scores=self.scores[user, :length].tolist(),
            sources=self.sources[user, :length].tolist(),
            titles=self.catalogue.titles(rows),
            because_items=self.because_items.get(user, ()),
            user_state=self.states[user] if self.states else UserState.ANONYMOUS,
            unknown_history_items=self.unknown[user] if self.unknown else 0,
            unknown_item_ids=self.unknown_item_ids[user] if self.unknown_item_ids else (),
            unknown_categories=self.unknown_categories[user] if self.unknown_categories else (),
            degraded_reasons=self.reasons[user] if self.reasons else (),
        )


def fill(
    catalogue: Catalogue, ranking: Candidates, considered: Rows, limits: Limits, ks: NDArray[np.int_]
) -> tuple[Candidates, NDArray[np.int_], list[int]]:
    """Closes each user's items up and fills what is missing to k with popular ones.

    What a rule dropped of the (users, n) rows ``considered`` does not come back as a popular item. Returns the items,
    the source of each, and how many each user has, at most its k.
    """
    own = ks.tolist()
    most = max(own)
    rows, scores = ranking.rows[:, :most], ranking.scores[:, :most]
    if rows.shape[1] == most == min(own) and np.minimum.reduce(rows, None) >= 0:
        # As it mostly is: nothing is missing.
        sources = np.empty(rows.shape, np.int_)
        sources.fill(ItemSource.RETRIEVED)
        return Candidates(rows, scores), sources, [most] * len(rows)
    order = np.argsort(ranking.rows < 0, axis=1, kind="stable")[:, :most]
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
    return Candidates(rows, scores), sources, np.minimum((rows >= 0).sum(1), ks).tolist()
