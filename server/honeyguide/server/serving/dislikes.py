"""Takes what a user disliked out of a history, and pushes the user away from what is like it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import HistoryBatch
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.encoding import EncodedUsers

__all__ = ["Dislikes", "DislikingUsers", "without_dislikes"]

Dislikes = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Places of users, ascending, and rows that they dislike, pair by pair."""
Vectors = NDArray[np.float32]


def without_dislikes(batch: HistoryBatch, negative: NDArray[np.bool_], items: int) -> tuple[HistoryBatch, Dislikes]:
    """Returns the histories of what is liked, and what is disliked.

    The last event of a user with an item decides: where it is negative, as a return after a purchase is, no event with
    the item counts for it; where it is not, the user thought better of it, and the negative ones before count for
    nothing.

    Args:
        batch: histories.
        negative: (events,) whether an event is of a negative type.
        items: how many items the catalogue has.
    """
    keys = np.repeat(np.arange(len(batch)) * np.int64(items), batch.lengths) + batch.items  # (events,)
    distinct, last = np.unique(keys[::-1], return_index=True)  # the first from behind
    disliked = negative[::-1][last]
    stays = ~(negative | disliked[np.searchsorted(distinct, keys)])
    return batch.only(stays), np.divmod(distinct[disliked], items)


class DislikingUsers(EncodedUsers):
    """Users of whom some dislike items: their vectors point away from these.

    Rocchio's formula (J. J. Rocchio, "Relevance feedback in information retrieval", in: Salton, The SMART Retrieval
    System, 1971) moves a query away from the mean of what was judged irrelevant; here the items count by their
    direction and the user by its length, so that the weight means the same for every model::

        user' = user - weight * |user| * mean(item / |item|)

    Users of a bundle without vectors have scores instead; see `ScoringBundle.away`.
    """

    def __init__(
        self,
        user_ids: Sequence[str | None],
        histories: HistoryBatch,
        metrics: Metrics,
        disliked: Dislikes,
        weight: float,
    ) -> None:
        """Takes, beside what `EncodedUsers` takes, what some of these users dislike and how far that pushes them."""
        super().__init__(user_ids, histories, metrics)
        self._owners, self._rows = disliked
        self._weight = weight
        self._pushed: dict[RetrievingBundle, Vectors] = {}

    def vectors(self, bundle: RetrievingBundle) -> Vectors:
        """Returns the (users, width) vectors, away from what is disliked."""
        if bundle not in self._pushed:
            self._pushed[bundle] = bundle.away(super().vectors(bundle), self._owners, self._rows, self._weight)
        return self._pushed[bundle]
