"""Builds the network of the model ``cf``: factorised item-item filtering with learnt recency, and an evidence ranker.

The retriever is asymmetric matrix factorisation: a user has no parameters and is the sum of the items in the history.
So a new user or event needs no training. The line of work: SVD++ (Koren, KDD 2008), FISM (Kabbur, Ning & Karypis,
KDD 2013), ELSA (Vančura et al., RecSys 2022). Here every lag and dimension has a weight of its own, so some dimensions
hold the last item or two and others a taste::

    user_t   = LayerNorm(Σ_j w[j] ⊙ E_in[item_{t−j}]),  j = 0 … K − 1
    score(c) = user_t · E_out[c] + b[c]

The ranker adds to that score what followed each of the newest events in other histories (`cf_evidence`).

B users, L positions, K lags, d dimensions, N items, n candidates, M neighbours, T tables of evidence, H newest events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.cf_evidence import TABLES, item_evidence
from honeyguide.models.softmax import Seen, full_softmax_loss
from honeyguide.sdk import DataSpec, HistoryBatch

if TYPE_CHECKING:
    from honeyguide.models.cf import Config

__all__ = ["CollaborativeNetwork", "Ranker"]

_FASTEST, _SLOWEST = 0.7, 60.0  # events in which a dimension's weight starts to fall to 1/e, the least and the most
_LOWEST = -30.0  # a logit this far below the best cannot win; what is masked comes with much less


class CollaborativeNetwork(nn.Module):
    """Is the `honeyguide.sdk.Network` of ``cf``."""

    neighbours: Tensor
    lifts: Tensor
    log_popularity: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
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

        kept = min(config.neighbours, items)
        self.register_buffer("neighbours", torch.zeros(items + 1, kept, dtype=torch.int32))  # tokens, by token
        self.register_buffer("lifts", torch.zeros(items + 1, kept, len(TABLES)))
        self.register_buffer("log_popularity", torch.zeros(items + 1))
        self.ranker = Ranker(config.events * len(TABLES) + 3, config.hidden, config.ranker_dropout)

    def observe(self, histories: HistoryBatch) -> None:
        """Counts popularity and the ranker's evidence."""
        evidence = item_evidence(histories, self.data.items, self.neighbours.shape[1])
        popularity = np.bincount(histories.items, minlength=self.data.items)
        self.neighbours[1:] = torch.from_numpy(evidence.neighbours)
        self.lifts[1:] = torch.from_numpy(evidence.lifts)
        self.log_popularity[1:] = torch.from_numpy(np.log1p(popularity).astype(np.float32))

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
        seen = None if self.data.repeats else Seen.of(tokens, batch["earlier"], self.data.items, chosen)
        users = self.positions(batch)[..., :-1][chosen]  # [P, d]
        return full_softmax_loss(users, self.table_out, self.bias, targets[chosen] - 1, seen)

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores from the retrieval scores and the evidence."""
        real = candidates > 0
        logits = retrieval_scores[:, :, 0]
        best = logits.masked_fill(~real, -1e9).amax(1, keepdim=True)
        logits = (logits - best).clamp(_LOWEST, 0.0)
        # The place in the list, from the scores: candidates come in any order.
        place = ((logits[:, None, :] > logits[:, :, None]) & real[:, None, :]).sum(2)
        with torch.no_grad():
            features = [
                self._evidence(batch["tokens"], candidates),
                self.log_popularity[candidates][:, :, None],
                torch.log1p(place.float())[:, :, None],
                logits[:, :, None],
            ]
        scores: Tensor = self.ranker(torch.cat(features, 2), logits)
        return scores

    def _events(self, tokens: Tensor) -> Tensor:
        """Returns [B, L, d] vectors of the history's items; PAD is 0."""
        vectors = functional.dropout(self.table_in[tokens], self.config.dropout, self.training)
        return vectors * (tokens > 0)[:, :, None]

    def _evidence(self, tokens: Tensor, candidates: Tensor) -> Tensor:
        """Returns [B, n, H · T]: the lifts of each candidate after each of the newest events."""
        newest = functional.pad(tokens, (self.config.events, 0))[:, -self.config.events :]  # [B, H]
        wanted = candidates.to(torch.int32)[:, :, None]
        columns = []
        for event in newest.unbind(1):  # one at a time: the comparison takes B · n · M cells, 10 MB for 64 users
            match = self.neighbours[event][:, None, :] == wanted  # [B, n, M]
            columns.append(match.float() @ self.lifts[event])  # [B, n, T]
        return torch.cat(columns, 2)


class Ranker(nn.Module):
    """Scores candidates: α · logit + linear + perceptron; both start at 0, so that ranking begins as retrieval."""

    def __init__(self, features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        # A feature that hardly varies is not blown up: the standard deviation counts as 0.1 at least.
        self.standardise = nn.BatchNorm1d(features, eps=1e-2, momentum=None, affine=False)
        self.alpha = nn.Parameter(torch.ones(()))
        self.linear = nn.Linear(features, 1, bias=False)
        self.inner = nn.Linear(features, hidden)
        self.outer = nn.Linear(hidden, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.outer.weight)

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Returns [B, n] from [B, n, features] and [B, n] logits less the list's best."""
        x = self.standardise(features.transpose(1, 2)).transpose(1, 2)
        curved = self.outer(self.dropout(functional.gelu(self.inner(x))))
        scores: Tensor = self.alpha * logits + (self.linear(x) + curved).squeeze(-1)
        return scores


def _with_one(vectors: Tensor) -> Tensor:
    return torch.cat([vectors, torch.ones_like(vectors[..., :1])], -1)
