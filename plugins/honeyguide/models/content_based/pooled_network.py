"""Builds the network of the models ``text`` and ``content``: a user is the pooled history, an item what is known of it.

    user_t   = LayerNorm(Σ_j w[j] ⊙ (LayerNorm(P_in x(item_{t−j})) + signals_{t−j})),  j = 0 … K − 1
    score(c) = user_t · P_out x(c) + b[c]

x is what is known of an item (`item_features`); P_in and P_out are learnt by the softmax over the catalogue, so that
they say which of it matters for what comes next, and serve for an item that nobody has met: no item has a vector of its
own. Signals are the event's features and type, w is as in `cf`.

B users, L positions, K lags, d dimensions, N items, n candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.content_based.item_features import ItemFeatures
from honeyguide.models.evidence.ranker import EvidenceRanker
from honeyguide.models.evidence.shares import event_shares
from honeyguide.models.sequence.lag_sums import lag_sums, newest_lag_sum, start_kernel, weighed_by_lag
from honeyguide.models.sequence.tower import EventEmbedding, ItemHead
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable

if TYPE_CHECKING:
    from honeyguide.models.sequence.options import SequenceOptions

__all__ = ["PooledNetwork"]


class PooledNetwork(nn.Module):
    """Network of the models ``text`` and ``content``."""

    def __init__(self, config: SequenceOptions, data: DataSpec, known: ItemFeatures) -> None:
        super().__init__()
        self.known = known
        self.events = EventEmbedding(config, data, known, free=False)
        self.kernel = nn.Parameter(start_kernel(config.max_length, config.dimension))
        self.head = ItemHead(config, data, self.events, known, free=False)
        self.ranker = EvidenceRanker(config, data)

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:
        """Reads what is known of the items; counts popularity and the ranker's evidence."""
        self.known.observe(items)
        self.head.observe(histories)
        self.ranker.observe(histories)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the [B, L, d + 1] user vectors after each event."""
        return self.head.users(lag_sums(self.events(batch), self.kernel))

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]: the last position alone."""
        return self.head.users(newest_lag_sum(self.events(batch), self.kernel))

    def items(self) -> Tensor:
        """Returns [N, d + 1]."""
        return self.head.items()

    def place(self, items: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1], as items of the catalogue but for the bias, which is the mean."""
        return self.head.place(items)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the cross-entropy of the next items."""
        return self.head.loss(lag_sums(self.events(batch), self.kernel), batch)

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores."""
        scores: Tensor = self.ranker(batch["tokens"], candidates, retrieval_scores, ages=batch.get("ages"))
        return scores

    def ranking_module(self) -> nn.Module:
        """Returns the evidence ranker."""
        return self.ranker

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: each event's share in what the sum says for a candidate."""
        events = weighed_by_lag(self.events(batch), self.kernel) * self.head.norm.weight  # [B, L, d]
        vectors = functional.pad(self.head.vectors(), (0, 0, 1, 0))[candidates]  # [B, n, d]
        return event_shares(vectors @ events.transpose(1, 2), batch["tokens"])
