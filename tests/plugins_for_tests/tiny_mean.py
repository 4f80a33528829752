"""The lightest model there is, for tests of what happens around an export: its one graph is traced in no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from honeyguide.sdk import Model

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["TinyMean"]


class TinyMean(Model):
    """Likes what lies near the mean of a history's item embeddings."""

    name = "tiny_mean"

    @dataclass(frozen=True)
    class Config:
        width: int = 8
        """Dimensions of item and user vectors."""
        max_length: int = 20
        """Newest events that count."""

    def network(self) -> nn.Module:
        import torch
        from torch import nn

        class MeanNetwork(nn.Module):
            def __init__(self, items: int, width: int) -> None:
                super().__init__()
                self.embedding = nn.Embedding(items + 1, width, padding_idx=0)  # PAD is row 0

            def user(self, batch: Mapping[str, Tensor]) -> Tensor:
                events = (batch["tokens"] > 0).sum(1, keepdim=True).clamp(min=1)
                return self.embedding(batch["tokens"]).sum(1) / events  # (batch, width)

            def items(self) -> Tensor:
                return self.embedding.weight[1:]  # (items, width)

            def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
                return torch.zeros((), requires_grad=True)

        return MeanNetwork(self.data.items, self.config.width)
