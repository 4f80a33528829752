"""Builds the network of the model ``ease``: Steck, "Embarrassingly shallow autoencoders for sparse data" (WWW 2019).

Of all matrices with a diagonal of 0, so that no item guesses itself, W makes ``|X − X W|² + λ |W|²`` the least, where X
holds the training users' ratings::

    P = (XᵀX + λ I)⁻¹,   W_ij = −P_ij / P_jj  for i ≠ j
    score(i) = Σ_j w_j W_ji  over the events j of the history,  w_j = rating · recency^age

B users, L positions, N items, n candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.evidence.shares import event_shares
from honeyguide.models.knn.ratings import Ratings
from honeyguide.models.knn.similarity import rating_matrix
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable
from honeyguide.sdk.errors import ConfigError

if TYPE_CHECKING:
    from honeyguide.models.ease import EaseOptions

__all__ = ["EaseNetwork"]

_NEIGHBOURS = 100


class EaseNetwork(nn.Module):
    """Network of the model ``ease``."""

    weights: Tensor

    def __init__(self, config: EaseOptions, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data = config, data
        self.register_buffer("weights", torch.zeros(data.items + 1, data.items))  # by token; row 0 is PAD

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:  # noqa: ARG002  # the contract's signature
        """Solves for the weights; raises `ConfigError` where the penalty is too small or large for it."""
        matrix = rating_matrix(Ratings.of(histories, self.data, self.config.event_weight), self.data.items)
        gram = torch.from_numpy((matrix.T @ matrix).toarray())
        gram.diagonal().add_(self.config.penalty)
        try:
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # documented, and not in its stubs
            inverse = torch.full_like(gram, torch.nan)
        weights = -inverse / inverse.diagonal()
        if not weights.isfinite().all():
            raise ConfigError(
                f"penalty is {self.config.penalty}: no weights can be computed of this data; try 1 to 10,000"
            )
        self.weights[1:] = weights
        self.weights[1:].fill_diagonal_(0.0)

    def scores(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, N] the history's ratings, spread over the catalogue, times the weights."""
        tokens, ratings = batch["tokens"], batch["weights"]
        spread = ratings.new_zeros(ratings.shape[0], self.data.items + 1).scatter_add(1, tokens, ratings)
        return spread @ self.weights

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """Returns the (N, k) items that each one speaks for most, k at most 100."""
        others = self.weights[1:].clone().fill_diagonal_(-torch.inf)
        best, columns = others.topk(max(1, min(_NEIGHBOURS, self.data.items - 1)), 1)
        there = best > 0
        return (columns + 1).where(there, 0), best.where(there, 0.0)

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: each event's share in what speaks for a candidate."""
        tokens, ratings = batch["tokens"], batch["weights"]
        places = tokens[:, None, :] * self.data.items + (candidates[:, :, None] - 1).clamp_min(0)  # [B, n, L]
        weights = functional.embedding(places, self.weights.view(-1, 1)).squeeze(3)
        return event_shares(weights * ratings[:, None, :], tokens)
