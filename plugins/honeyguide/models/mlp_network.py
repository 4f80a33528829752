"""Builds the network of the model ``mlp``: matrix factorisation retrieves, and a perceptron beside it ranks.

Neural collaborative filtering (He et al., WWW 2017) has two parts over a user's and an item's embedding: generalised
matrix factorisation, which weighs their element-wise product, and a multi-layer perceptron. There a user is a row of a
table, so a new user or event needs a training; here a user is the history, pooled K times, from sums that all but
forget what lies a few events back to sums of everything::

    pooled[k] = Σ_j w[k, j] E_in[item_{t−j}]
    user_t    = LayerNorm(Σ_k h[k] ⊙ pooled[k])
    GMF(c)    = user_t · E_out[c] + b[c]
    score(c)  = α GMF(c) + v · (user_t ⊙ E_out[c]) + MLP([user_t, E_out[c], user_t ⊙ E_out[c]])

The weights h of the product are folded into the user's side, so that GMF is an inner product, which an index searches.
Inner products are hard for a perceptron to learn (Rendle et al., RecSys 2020), so it is given the product too. It
learns from candidate lists, with the tables as they are; v and its last layer start at 0 and α at 1, so that ranking
begins as retrieval.

B users, L positions, K poolings, d dimensions, N items, n candidates, P positions with a target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.evidence.shares import event_shares
from honeyguide.models.sequence.lag_sums import lag_sums, newest_lag_sum, weighed_by_lag
from honeyguide.models.sequence.softmax import SeenItems, full_softmax_loss
from honeyguide.sdk import DataSpec

if TYPE_CHECKING:
    from honeyguide.models.mlp import MlpOptions

__all__ = ["MlpNetwork"]

_FASTEST, _SLOWEST = 0.7, 60.0  # events in which a pooling's weight starts to fall to 1/e, the least and the most


class MlpNetwork(nn.Module):
    """Network of the model ``mlp``."""

    def __init__(self, config: MlpOptions, data: DataSpec) -> None:
        super().__init__()
        items, width, lags = data.items, config.dimension, config.max_length
        self.data, self.dropout = data, config.dropout
        self.table_in = nn.Parameter(torch.randn(items + 1, width) * 0.02)  # by token; row 0 is PAD
        self.table_out = nn.Parameter(torch.randn(items, width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(items))
        fall = torch.logspace(math.log10(_FASTEST), math.log10(_SLOWEST), config.poolings)[:, None]
        kernels = torch.exp(-torch.arange(lags - 1, -1, -1) / fall)
        # [K, lags], the oldest first, as the columns of tokens are
        self.kernels = nn.Parameter(kernels / kernels.square().sum(1, keepdim=True).sqrt())
        self.product = nn.Parameter(torch.ones(config.poolings, width) + 0.5 * torch.randn(config.poolings, width))
        self.norm = nn.LayerNorm(width)
        self.tower = _Tower(config)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, L, d + 1]: at all positions."""
        return _with_one(self._users(batch["tokens"]))

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]: the last position alone."""
        return _with_one(self._user(batch["tokens"]))

    def items(self) -> Tensor:
        """Returns [N, d + 1]: the last dimension is the item's bias, against the user's 1."""
        return torch.cat([self.table_out, self.bias[:, None]], 1)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns full-softmax cross-entropy; what the user has seen is left out where items do not repeat."""
        tokens, targets = batch["tokens"], batch["targets"]
        chosen = (targets > 0) & (tokens > 0)  # [B, L], P of them
        seen = None if self.data.repeats else SeenItems.of(tokens, batch["earlier"], chosen)
        users = self._users(tokens)[chosen]  # [P, d]
        weights = batch["weights"][chosen] if "weights" in batch else None
        return full_softmax_loss(users, self.table_out, self.bias, targets[chosen] - 1, seen, weights)

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores: what retrieval said, which is GMF, and what the perceptron adds."""
        vectors = functional.embedding(candidates, functional.pad(self.table_out, (0, 0, 1, 0)))  # [B, n, d]
        scores: Tensor = self.tower(self._user(batch["tokens"]), vectors, retrieval_scores[:, :, 0], candidates > 0)
        return scores

    def ranking_module(self) -> nn.Module:
        """Returns the tower."""
        return self.tower

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: each event's share in what GMF says for a candidate; what speaks against it is 0."""
        tokens = batch["tokens"]
        events = weighed_by_lag(self._events(tokens), self._kernel()) * self.norm.weight  # [B, L, d]
        vectors = functional.embedding(candidates, functional.pad(self.table_out, (0, 0, 1, 0)))
        return event_shares(vectors @ events.transpose(1, 2), tokens)

    def _user(self, tokens: Tensor) -> Tensor:
        """Returns [B, d]."""
        user: Tensor = self.norm(newest_lag_sum(self._events(tokens), self._kernel()))
        return user

    def _users(self, tokens: Tensor) -> Tensor:
        """Returns [B, L, d]."""
        users: Tensor = self.norm(lag_sums(self._events(tokens), self._kernel()))
        return users

    def _kernel(self) -> Tensor:
        """Returns [lags, d]: what each lag counts for in each dimension, over all poolings; the oldest first."""
        return self.kernels.T @ self.product

    def _events(self, tokens: Tensor) -> Tensor:
        """Returns [B, L, d] vectors of the history's items; PAD is 0."""
        vectors = functional.dropout(functional.embedding(tokens, self.table_in), self.dropout, self.training)
        return vectors * (tokens > 0)[:, :, None]


class _Tower(nn.Module):
    """Fusion of GMF with a perceptron of two layers over user, candidate and their product."""

    def __init__(self, config: MlpOptions) -> None:
        super().__init__()
        width, hidden = config.dimension, config.hidden
        self.alpha = nn.Parameter(torch.ones(()))
        self.again = nn.Parameter(torch.zeros(width))  # the product's weights, for the order within a list
        self.of_user = nn.Linear(width, hidden)
        self.of_candidate = nn.Linear(width, hidden, bias=False)
        self.of_product = nn.Linear(width, hidden, bias=False)
        self.inner = nn.Linear(hidden, hidden // 2)
        self.outer = nn.Linear(hidden // 2, 1, bias=False)
        self.dropout = nn.Dropout(config.ranker_dropout)
        nn.init.zeros_(self.outer.weight)

    def forward(self, user: Tensor, candidates: Tensor, scores: Tensor, real: Tensor) -> Tensor:
        """Returns [B, n] from users [B, d], candidates [B, n, d], GMF's scores and which candidates are real [B, n]."""
        best = scores.masked_fill(~real, -1e9).amax(1, keepdim=True)
        normal = functional.layer_norm(candidates, candidates.shape[2:])
        product = user[:, None] * normal
        x = self.of_user(user)[:, None] + self.of_candidate(normal) + self.of_product(product)
        x = self.dropout(functional.gelu(x))
        x = self.dropout(functional.gelu(self.inner(x)))
        fused: Tensor = self.alpha * (scores - best).clamp_min(-30.0) + product @ self.again + self.outer(x).squeeze(2)
        return fused


def _with_one(vectors: Tensor) -> Tensor:
    return torch.cat([vectors, torch.ones_like(vectors[..., :1])], -1)
