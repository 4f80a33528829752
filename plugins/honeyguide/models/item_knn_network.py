"""Builds the network of the model ``item_knn``: item-based collaborative filtering with lists of neighbours.

Sarwar, Karypis, Konstan & Riedl (WWW 2001); for events in place of ratings, Deshpande & Karypis, "Item-based top-N
recommendation algorithms" (ACM TOIS 2004). Of each item j the k most similar items are kept; a user's score of i is

    score(i) = Σ_j s(j, i) w_j  over the events j of the history whose list holds i,  w_j = rating · recency^age

or, with ``mean``, that over ``Σ_j s(j, i)``. The similarity is that of `honeyguide.models.knn.similarity`. What no list
holds is in the order of popularity, far below the rest.

B users, L positions, k neighbours, N items, n candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.evidence.lookup import hash_neighbours, look_up_in_slots
from honeyguide.models.evidence.shares import event_shares
from honeyguide.models.knn.popularity import Popularity
from honeyguide.models.knn.ratings import Ratings
from honeyguide.models.knn.similarity import most_similar
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable

if TYPE_CHECKING:
    from honeyguide.models.item_knn import ItemKnnOptions

__all__ = ["ItemKnnNetwork"]

_MOST_KEPT = 10_000_000  # neighbours of all items together


class ItemKnnNetwork(nn.Module):
    """Network of the model ``item_knn``."""

    near: Tensor
    similarities: Tensor
    slots: Tensor
    homes: Tensor

    def __init__(self, config: ItemKnnOptions, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data = config, data
        count = max(1, min(config.neighbours, data.items - 1, _MOST_KEPT // data.items))
        self.register_buffer("near", torch.zeros(data.items + 1, count, dtype=torch.int32))  # by token; row 0 is PAD
        self.register_buffer("similarities", torch.zeros(data.items + 1, count))
        slots, homes = hash_neighbours(self.near.numpy())  # to explain: where a candidate is in an event's list
        self.register_buffer("slots", torch.from_numpy(slots))
        self.register_buffer("homes", torch.from_numpy(homes))
        self.popularity = Popularity(data.items)

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:  # noqa: ARG002  # the contract's signature
        """Counts who met which items, and keeps each item's neighbours."""
        config, count = self.config, self.near.shape[1]
        ratings = Ratings.of(histories, self.data, config.event_weight)
        near, similarities = most_similar(ratings, self.data.items, count, config.shrinkage)
        self.near[1:], self.similarities[1:] = torch.from_numpy(near), torch.from_numpy(similarities)
        slots, homes = hash_neighbours(self.near.cpu().numpy())
        self.slots.copy_(torch.from_numpy(slots))
        self.homes.copy_(torch.from_numpy(homes))
        self.popularity.observe(histories)

    def scores(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, N]: each event adds to the items of its list."""
        tokens, weights = batch["tokens"], batch["weights"]
        near = functional.embedding(tokens, self.near).flatten(1).long()  # [B, L · k]
        similarities = functional.embedding(tokens, self.similarities)  # [B, L, k]
        sums = self._spread(near, similarities * weights[:, :, None])
        if self.config.mean:
            sums = sums / self._spread(near, similarities).clamp_min(torch.finfo(sums.dtype).tiny)
        scores: Tensor = self.popularity(sums)
        return scores

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """Returns the (N, k) tokens and similarities that are kept."""
        return self.near[1:], self.similarities[1:]

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: each event's share in the sum of a candidate."""
        tokens, weights = batch["tokens"], batch["weights"]
        similarities = look_up_in_slots(self.slots, self.homes, self.similarities[:, :, None], tokens, candidates)
        return event_shares(similarities.squeeze(3) * weights[:, None, :], tokens)

    def _spread(self, near: Tensor, values: Tensor) -> Tensor:
        """Returns [B, N] sums of [B, L, k] values at [B, L · k] tokens; PAD's own are left out."""
        empty = values.new_zeros(values.shape[0], self.data.items + 1)
        return empty.scatter_add(1, near, values.flatten(1))[:, 1:]
