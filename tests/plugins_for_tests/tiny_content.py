"""Offers a model whose item vectors are made of the items' brand and price alone, which it observes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from honeyguide.sdk import HistoryBatch, ItemTable, Model, RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["TinyContent", "register_models"]


@dataclass(frozen=True)
class _Config:
    brands: int = 8
    """The most brands, 1 or more."""
    text: str = "brand"
    """The text column that is read."""


class TinyContent(Model):
    name = "tiny_content"
    Config = _Config

    def network(self) -> nn.Module:
        return _network(self.data.items, self.config.brands, self.config.text)


@hookimpl
def register_models(register: RegisterModel) -> None:
    register(TinyContent)


def _network(items: int, brands: int, text: str) -> nn.Module:
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional

    class Network(nn.Module):
        attributes: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.ones(brands + 1))
            self.register_buffer("attributes", torch.zeros(items + 1, brands + 1))  # by token; PAD is row 0

        def observe(self, histories: HistoryBatch, items: ItemTable) -> None:
            """Writes down each item's brand, one column each, and in the last column whether it is cheap."""
            names = np.unique(items.text(text))
            self.attributes.zero_()
            self.attributes[1:, : len(names)] = torch.from_numpy(items.text(text)[:, None] == names)
            self.attributes[1:, -1] = torch.from_numpy(0.5 * (items.number("price") < 5.0))  # NaN is not

        def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
            return self.attributes[batch["tokens"]].cumsum(1) * self.weights

        def user(self, batch: Mapping[str, Tensor]) -> Tensor:
            return self.attributes[batch["tokens"]].sum(1) * self.weights

        def items(self) -> Tensor:
            return self.attributes[1:]

        def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
            real = batch["targets"] > 0
            return functional.cross_entropy(self.positions(batch)[real] @ self.items().T, batch["targets"][real] - 1)

    return Network()
