"""Builds the network of the model ``cf``: factorised item-item filtering with learnt recency, and an evidence ranker.

The retriever is asymmetric matrix factorisation: a user has no parameters and is the sum of the items in the history.
So a new user or event needs no training. The line of work: SVD++ (Koren, KDD 2008), FISM (Kabbur, Ning & Karypis,
KDD 2013), ELSA (Vančura et al., RecSys 2022). Here every lag and dimension has a weight of its own, so some dimensions
hold the last item or two and others a taste::

    user_t   = LayerNorm(Σ_j w[j] ⊙ E_in[item_{t−j}]),  j = 0 … K − 1
    score(c) = user_t · E_out[c] + b[c]

The ranker adds to that score what followed each of the newest events in other histories (`evidence_ranker`).

B users, L positions, K lags, d dimensions, N items, n candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.content_based.item_features import ItemFeatures, ItemProjection, combined_vectors
from honeyguide.models.evidence.ranker import EvidenceRanker
from honeyguide.models.evidence.shares import event_shares
from honeyguide.models.sequence.lag_sums import lag_sums, newest_lag_sum, start_kernel, weighed_by_lag
from honeyguide.models.sequence.softmax import SeenItems, full_softmax_loss
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable

if TYPE_CHECKING:
    from honeyguide.models.cf import CfOptions

__all__ = ["CollaborativeNetwork"]


class CollaborativeNetwork(nn.Module):
    """Network of the model ``cf``."""

    def __init__(self, config: CfOptions, data: DataSpec, known: ItemFeatures | None = None) -> None:
        super().__init__()
        items, width = data.items, config.dimension
        self.config, self.data, self.known = config, data, known
        self.table_in = nn.Parameter(torch.randn(items + 1, width) * 0.02)  # by token; row 0 is PAD
        self.table_out = nn.Parameter(torch.randn(items, width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(items))
        self.known_in = None if known is None else ItemProjection(known, width)
        self.known_out = None if known is None else ItemProjection(known, width)
        self.kernel = nn.Parameter(start_kernel(config.max_length, width))  # [K, d]
        self.norm = nn.LayerNorm(width)

        self.ranker = EvidenceRanker(config, data)

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:
        """Counts popularity and the ranker's evidence, and reads what is known of the items, if that counts."""
        if self.known is not None:
            self.known.observe(items)
        self.ranker.observe(histories)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the [B, L, d + 1] user vectors after each event."""
        return _with_one(self.norm(lag_sums(self._events(batch["tokens"]), self.kernel)))

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]: the last position alone."""
        return _with_one(self.norm(newest_lag_sum(self._events(batch["tokens"]), self.kernel)))

    def items(self) -> Tensor:
        """Returns [N, d + 1]: the last dimension is the item's bias, against the user's 1."""
        return torch.cat([self._vectors(), self.bias[:, None]], 1)

    def place(self, items: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]: items by what is known of them alone; the bias is the catalogue's mean."""
        if self.known_out is None:
            raise ValueError("nothing is known of the items: train with --option items=text or content")
        placed: Tensor = self.known_out(items)
        return torch.cat([placed, self.bias.mean() + torch.zeros_like(placed[:, :1])], 1)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns full-softmax cross-entropy; what the user has seen is left out where items do not repeat."""
        tokens, targets = batch["tokens"], batch["targets"]
        chosen = (targets > 0) & (tokens > 0)  # [B, L], P of them
        seen = None if self.data.repeats else SeenItems.of(tokens, batch["earlier"], chosen)
        users = self.positions(batch)[..., :-1][chosen]  # [P, d]
        weights = batch["weights"][chosen] if "weights" in batch else None
        return full_softmax_loss(users, self._vectors(), self.bias, targets[chosen] - 1, seen, weights)

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores from the retrieval scores and the evidence."""
        scores: Tensor = self.ranker(batch["tokens"], candidates, retrieval_scores, ages=batch.get("ages"))
        return scores

    def ranking_module(self) -> nn.Module:
        """Returns the evidence ranker."""
        return self.ranker

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: each event's share in what the sum says for a candidate; what speaks against it is 0."""
        tokens = batch["tokens"]
        events = weighed_by_lag(self._events(tokens), self.kernel) * self.norm.weight  # [B, L, d]
        vectors = functional.pad(self._vectors(), (0, 0, 1, 0))[candidates]  # [B, n, d]
        return event_shares(vectors @ events.transpose(1, 2), tokens)

    def _vectors(self) -> Tensor:
        """Returns the [N, d] items' own vectors."""
        return combined_vectors(self.table_out, self.known_out)

    def _events(self, tokens: Tensor) -> Tensor:
        """Returns [B, L, d] vectors of the history's items; PAD is 0."""
        table = combined_vectors(self.table_in, self.known_in, padding=1)
        vectors = functional.dropout(functional.embedding(tokens, table), self.config.dropout, self.training)
        return vectors * (tokens > 0)[:, :, None]


def _with_one(vectors: Tensor) -> Tensor:
    return torch.cat([vectors, torch.ones_like(vectors[..., :1])], -1)
