"""Builds the network of the model ``template_model``.

    user_t   = g ⊙ E_in[item_t] + (1 − g) ⊙ mean(E_in[item_1 … item_t]),  g = σ(gate)
    score(c) = user_t · E_out[c]

B users, L positions, d dimensions, N items. A token is catalogue row + 1; PAD is 0 and stands on the left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.sdk import DataSpec

if TYPE_CHECKING:
    from honeyguide_template_model import TemplateModelOptions

__all__ = ["TemplateModelNetwork"]


class TemplateModelNetwork(nn.Module):
    """Network of the model ``template_model``: two tables of item vectors, and a gate."""

    def __init__(self, options: TemplateModelOptions, data: DataSpec) -> None:
        super().__init__()
        self.before = nn.Embedding(data.items + 1, options.dimension, padding_idx=0)
        self.after = nn.Embedding(data.items, options.dimension)
        self.gate = nn.Parameter(torch.zeros(options.dimension))
        self.dropout = nn.Dropout(options.dropout)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, L, d]: the user after each event."""
        events = self.dropout(self.before(batch["tokens"]))
        counts = (batch["tokens"] > 0).cumsum(1).clamp(min=1)  # padding counts nothing
        return self._mix(events, events.cumsum(1) / counts[:, :, None])

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d]: the user now, equal to the last of `positions`."""
        events = self.dropout(self.before(batch["tokens"]))
        counts = (batch["tokens"] > 0).sum(1, keepdim=True)
        return self._mix(events[:, -1], events.sum(1) / counts)

    def items(self) -> Tensor:
        """Returns [N, d]: row i is catalogue row i."""
        return self.after.weight

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the cross-entropy of each position's next item over the whole catalogue."""
        known = (batch["targets"] > 0) & (batch["tokens"] > 0)
        scores = self.positions(batch)[known] @ self.items().T
        return functional.cross_entropy(scores, batch["targets"][known] - 1)

    def _mix(self, last: Tensor, mean: Tensor) -> Tensor:
        share = torch.sigmoid(self.gate)
        return share * last + (1 - share) * mean
