"""Builds the network of the model ``user_knn``: user-based collaborative filtering for users who come with a history.

Herlocker, Konstan, Borchers & Riedl (SIGIR 1999). The bundle holds training users v with their items. A history h is
compared with those who met one of its items, which lists by item tell (as in the session-based kNN of Jannach &
Ludewig, RecSys 2017), and the K most similar give theirs:

    s(h, v) = Σ_j w_j r_vj / (|h| |v| + λ)          over the events j of the history, w_j = rating · recency^age
    score(i) = Σ_v (s(h, v) − s_K+1) r_vi           over the K most similar; s_K+1 is the similarity of the next one

or, with ``mean``, that over ``Σ_v (s(h, v) − s_K+1)`` of those who met i. Weights that fall to 0 at the last neighbour
are Dudani's ("The distance-weighted k-nearest-neighbor rule", IEEE Trans. SMC 1976): otherwise which of many equally
similar users come in would decide, and rounding with it. What no neighbour met is in the order of popularity.

B users, L positions, U training users, P users listed by item, W items kept by user, N items, n candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.evidence.shares import event_shares
from honeyguide.models.knn.popularity import Popularity
from honeyguide.models.knn.ratings import Ratings
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable

if TYPE_CHECKING:
    from honeyguide.models.user_knn import UserKnnOptions

__all__ = ["UserKnnNetwork", "newest_items"]

_MOST_LISTED = 8_000_000  # users of all items together
_EXPLAINING = 16  # neighbours who explain: each costs as much as the whole history
_LEAST = 1e-9  # below any product of two norms


class UserKnnNetwork(nn.Module):
    """Network of the model ``user_knn``."""

    lists: Tensor
    list_ratings: Tensor
    profiles: Tensor
    profile_ratings: Tensor
    norms: Tensor

    def __init__(self, config: UserKnnOptions, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data = config, data
        listed = max(1, min(config.listed, config.users, _MOST_LISTED // data.items))
        kept = min(config.kept, data.items)
        # Users are numbered from 1; 0 is nobody, as PAD is no item.
        self.register_buffer("lists", torch.zeros(data.items + 1, listed, dtype=torch.int32))  # by token
        self.register_buffer("list_ratings", torch.zeros(data.items + 1, listed))
        self.register_buffer("profiles", torch.zeros(config.users + 1, kept, dtype=torch.int32))
        self.register_buffer("profile_ratings", torch.zeros(config.users + 1, kept))
        self.register_buffer("norms", torch.zeros(config.users))
        self.popularity = Popularity(data.items)

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:  # noqa: ARG002  # the contract's signature
        """Keeps users, with their newest items, and of each item who met it."""
        for buffer in (self.lists, self.list_ratings, self.profiles, self.profile_ratings, self.norms):
            buffer.zero_()
        self.popularity.observe(histories)
        width, kept = self.profiles.shape[1], histories.take(self._chosen(histories))
        ratings = Ratings.of(newest_items(kept, width, self.data.items), self.data, self.config.event_weight)
        users, tokens = ratings.users + 1, ratings.items + 1
        values = torch.from_numpy(ratings.values)
        places = torch.from_numpy(_places(users))
        rows = torch.from_numpy(users)
        self.profiles[rows, places] = torch.from_numpy(tokens.astype(np.int32))
        self.profile_ratings[rows, places] = values
        squares = np.bincount(ratings.users, ratings.values.astype(np.float64) ** 2, len(self.norms))
        self.norms.copy_(torch.from_numpy(np.sqrt(squares)))
        order = np.argsort(tokens, kind="stable")  # within an item by user: those who came last
        place = _places(tokens[order])
        order, place = order[place < self.lists.shape[1]], place[place < self.lists.shape[1]]
        rows = torch.from_numpy(tokens[order])
        self.lists[rows, torch.from_numpy(place)] = torch.from_numpy(users[order].astype(np.int32))
        self.list_ratings[rows, torch.from_numpy(place)] = values[torch.from_numpy(order)]

    def scores(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, N]: what the neighbours met."""
        similar, users = self._neighbours(batch, self.config.neighbours)
        tokens = functional.embedding(users, self.profiles).flatten(1).long()  # [B, K · W]
        ratings = functional.embedding(users, self.profile_ratings)  # [B, K, W]
        sums = self._spread(tokens, similar[:, :, None] * ratings)
        if self.config.mean:
            weight = self._spread(tokens, similar[:, :, None] * (ratings > 0))
            sums = sums / weight.clamp_min(torch.finfo(sums.dtype).tiny)
        scores: Tensor = self.popularity(sums)
        return scores

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: each event's share in the similarity of the nearest neighbours who met a candidate."""
        tokens, weights = batch["tokens"], batch["weights"]
        similar, users = self._neighbours(batch, min(self.config.neighbours, _EXPLAINING))
        profiles = functional.embedding(users, self.profiles)[:, :, None]  # [B, K, 1, W]
        ratings = functional.embedding(users, self.profile_ratings)[:, :, None]
        own = (ratings * (profiles == tokens[:, None, :, None])).sum(3) * weights[:, None]  # [B, K, L]
        met = (ratings * (profiles == candidates[:, None, :, None])).sum(3) * similar[:, :, None]  # [B, K, n]
        return event_shares(met.mT @ own, tokens)

    def _neighbours(self, batch: Mapping[str, Tensor], count: int) -> tuple[Tensor, Tensor]:
        """Returns the [B, K] similarities of the nearest users, less that of the next one, and their numbers."""
        tokens, weights = batch["tokens"], batch["weights"]
        users = functional.embedding(tokens, self.lists).flatten(1).long()  # [B, L · P]
        products = functional.embedding(tokens, self.list_ratings) * weights[:, :, None]
        empty = products.new_zeros(products.shape[0], len(self.norms) + 1)
        dots = empty.scatter_add(1, users, products.flatten(1))[:, 1:]  # [B, U]
        length = weights.square().sum(1, keepdim=True).sqrt()
        similar = dots / (length * self.norms + self.config.shrinkage).clamp_min(_LEAST)
        count = min(count, len(self.norms))
        # One more than there may be: nobody, as similar as nobody is.
        best, numbers = functional.pad(similar, (1, 0)).topk(count + 1, 1)
        return best[:, :-1] - best[:, -1:], numbers[:, :-1]

    def _spread(self, tokens: Tensor, values: Tensor) -> Tensor:
        """Returns [B, N] sums of [B, K, W] values at [B, K · W] tokens; PAD's own are left out."""
        empty = values.new_zeros(values.shape[0], self.data.items + 1)
        return empty.scatter_add(1, tokens, values.flatten(1))[:, 1:]

    def _chosen(self, histories: HistoryBatch) -> NDArray[np.int64]:
        """Returns the users who are kept, those first who came last; without times, drawn evenly in a fixed order."""
        there = np.flatnonzero(histories.lengths)
        if histories.times_ms is not None:
            order = np.argsort(-histories.times_ms[histories.offsets[1:][there] - 1], kind="stable")
        else:
            order = np.random.default_rng(0).permutation(len(there))
        return there[order[: len(self.norms)]]


def newest_items(histories: HistoryBatch, count: int, items: int) -> HistoryBatch:
    """Returns the events of each user's ``count`` newest different items alone."""
    owners = np.repeat(np.arange(len(histories)), histories.lengths)
    keys = owners * np.int64(items) + histories.items
    distinct, last, pair = np.unique(keys[::-1], return_index=True, return_inverse=True)
    newest = np.lexsort((last, distinct // items))  # of each user, the item met last first
    stays = np.empty(len(distinct), np.bool_)
    stays[newest] = _places(distinct[newest] // items) < count
    return histories.only(stays[pair][::-1])


def _places(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the place of each entry within its group; groups ascend."""
    places: NDArray[np.int64] = np.arange(len(groups)) - np.searchsorted(groups, groups)
    return places
