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

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.evidence.ranker import EvidenceRanker
from honeyguide.models.evidence.shares import event_shares
from honeyguide.models.sequence.softmax import SeenItems, full_softmax_loss
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable

if TYPE_CHECKING:
    from honeyguide.models.sequence.options import RetrieverOptions

__all__ = ["CollaborativeNetwork"]

_FASTEST, _SLOWEST = 0.7, 60.0  # events in which a dimension's weight starts to fall to 1/e, the least and the most


class CollaborativeNetwork(nn.Module):
    """Network of the model ``cf``."""

    def __init__(self, config: RetrieverOptions, data: DataSpec) -> None:
        super().__init__()
        items, width, lags = data.items, config.dimension, config.max_length
        self.config, self.data = config, data
        self.table_in = nn.Parameter(torch.randn(items + 1, width) * 0.02)  # by token; row 0 is PAD
        self.table_out = nn.Parameter(torch.randn(items, width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(items))
        fall = torch.logspace(float(np.log10(_FASTEST)), float(np.log10(_SLOWEST)), width)
        kernel = torch.exp(-torch.arange(lags - 1, -1, -1)[:, None] / fall)
        # [K, d], the oldest lag first, as the columns of tokens are
        self.kernel = nn.Parameter(kernel / kernel.square().sum(0).sqrt())
        self.norm = nn.LayerNorm(width)

        self.ranker = EvidenceRanker(config, data)

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:  # noqa: ARG002  # the contract's signature
        """Counts popularity and the ranker's evidence."""
        self.ranker.observe(histories)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, L, d + 1]: the sums over all lags at once, one triangular matrix for each dimension."""
        tokens = batch["tokens"]
        length = tokens.shape[1]
        newest = self.kernel[len(self.kernel) - length :]  # [L, d]
        # Window s of the kernel followed by zeros holds the weights of position L − 1 − s.
        weights = functional.pad(newest.T, (0, length - 1)).unfold(1, length, 1)  # [d, L, L]
        sums = torch.bmm(weights, self._events(tokens).permute(2, 1, 0))  # [d, L, B]
        return _with_one(self.norm(sums.flip(1).permute(2, 1, 0)))

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]: the last position alone."""
        tokens = batch["tokens"]
        kernel = self.kernel[len(self.kernel) - tokens.shape[1] :]  # [L, d]
        return _with_one(self.norm((self._events(tokens) * kernel).sum(1)))

    def items(self) -> Tensor:
        """Returns [N, d + 1]: the last dimension is the item's bias, against the user's 1."""
        return torch.cat([self.table_out, self.bias[:, None]], 1)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns full-softmax cross-entropy; what the user has seen is left out where items do not repeat."""
        tokens, targets = batch["tokens"], batch["targets"]
        chosen = (targets > 0) & (tokens > 0)  # [B, L], P of them
        seen = None if self.data.repeats else SeenItems.of(tokens, batch["earlier"], self.data.items, chosen)
        users = self.positions(batch)[..., :-1][chosen]  # [P, d]
        weights = batch["weights"][chosen] if "weights" in batch else None
        return full_softmax_loss(users, self.table_out, self.bias, targets[chosen] - 1, seen, weights)

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores from the retrieval scores and the evidence."""
        scores: Tensor = self.ranker(batch["tokens"], candidates, retrieval_scores)
        return scores

    def ranking_module(self) -> nn.Module:
        """Returns the evidence ranker."""
        return self.ranker

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: each event's share in what the sum says for a candidate; what speaks against it is 0."""
        tokens = batch["tokens"]
        kernel = self.kernel[len(self.kernel) - tokens.shape[1] :]  # [L, d]
        events = self._events(tokens) * kernel * self.norm.weight  # [B, L, d]
        vectors = functional.pad(self.table_out, (0, 0, 1, 0))[candidates]  # [B, n, d]
        return event_shares(vectors @ events.transpose(1, 2), tokens)

    def _events(self, tokens: Tensor) -> Tensor:
        """Returns [B, L, d] vectors of the history's items; PAD is 0."""
        vectors = functional.dropout(functional.embedding(tokens, self.table_in), self.config.dropout, self.training)
        return vectors * (tokens > 0)[:, :, None]


def _with_one(vectors: Tensor) -> Tensor:
    return torch.cat([vectors, torch.ones_like(vectors[..., :1])], -1)
