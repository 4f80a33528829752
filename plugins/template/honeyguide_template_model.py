"""Offers the model ``template_model``: a user is the last item and the mean of all items, mixed as training finds best.

    user_t   = g ⊙ E_in[item_t] + (1 − g) ⊙ mean(E_in[item_1 … item_t]),  g = σ(gate)
    score(c) = user_t · E_out[c]

B users, L positions, d dimensions, N items. A token is catalogue row + 1; PAD is 0 and stands on the left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.sdk import DataSpec, Model, RegisterModel, hookimpl

if TYPE_CHECKING:  # serving imports this file, and never torch
    from torch import Tensor, nn

__all__ = ["Config", "TemplateModel", "register_models"]


@dataclass(frozen=True)
class Config:
    """Holds the options: `honeyguide train template_model … --option dimension=32`."""

    dimension: int = 64
    """Dimensions of user and item vectors, 1 or more."""
    max_length: int = 50
    """How many of a user's newest events count, 1 or more."""
    dropout: float = 0.1
    """Share of the history's item vectors' cells set to 0 while learning, 0 or more and below 1."""

    def __post_init__(self) -> None:
        for name in ("dimension", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; allowed: 0 or more and below 1")


class TemplateModel(Model):
    """Mixes the last item with the mean of the history."""

    name = "template_model"
    Config = Config
    fit_defaults: ClassVar[Mapping[str, Any]] = {"lr": 3e-3}

    def network(self) -> nn.Module:
        """Builds the untrained network."""
        return _network(self.config, self.data)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``template_model``."""
    register(TemplateModel)


def _network(config: Config, data: DataSpec) -> nn.Module:
    """Builds the network; torch is imported here, where training and export call it."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.Embedding(data.items + 1, config.dimension, padding_idx=0)
            self.after = nn.Embedding(data.items, config.dimension)
            self.gate = nn.Parameter(torch.zeros(config.dimension))

        def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
            """Returns [B, L, d]: the user after each event."""
            events = self.events(batch["tokens"])
            counts = (batch["tokens"] > 0).cumsum(1).clamp(min=1)  # padding counts nothing
            return self.mixed(events, events.cumsum(1) / counts[:, :, None])

        def user(self, batch: Mapping[str, Tensor]) -> Tensor:
            """Returns [B, d]: the user now, equal to the last of `positions`."""
            events = self.events(batch["tokens"])
            counts = (batch["tokens"] > 0).sum(1, keepdim=True)
            return self.mixed(events[:, -1], events.sum(1) / counts)

        def items(self) -> Tensor:
            """Returns [N, d]: row i is catalogue row i."""
            return self.after.weight

        def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
            """Returns the cross-entropy of each position's next item over the whole catalogue."""
            known = (batch["targets"] > 0) & (batch["tokens"] > 0)
            scores = self.positions(batch)[known] @ self.items().T
            return functional.cross_entropy(scores, batch["targets"][known] - 1)

        def events(self, tokens: Tensor) -> Tensor:
            return functional.dropout(self.before(tokens), config.dropout, self.training)

        def mixed(self, last: Tensor, mean: Tensor) -> Tensor:
            share = torch.sigmoid(self.gate)
            return share * last + (1 - share) * mean

    return Network()
