"""Models that score the whole catalogue in their graph: one that also ranks, explains and relates, one that does not.

The score of item i is the mean, over the history, of an (items, items) table that a seed draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from honeyguide.sdk import Model, RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["TinyScores", "TinyStrangers", "register_models"]


class TinyScores(Model):
    """Scores, says which items are alike, ranks by popularity in reverse, and explains by the table."""

    name = "tiny_scores"

    @dataclass(frozen=True)
    class Config:
        neighbours: int = 8
        """Neighbours of each item."""
        max_length: int = 20
        """Newest events that count."""

    def network(self) -> nn.Module:
        return _network(self.data.items, self.config.neighbours)


class TinyStrangers(TinyScores):
    """Scores and does nothing else."""

    name = "tiny_strangers"

    def network(self) -> nn.Module:
        return _network(self.data.items, 0)


@hookimpl
def register_models(register: RegisterModel) -> None:
    register(TinyScores)
    register(TinyStrangers)


def _network(items: int, neighbours: int) -> Any:
    import torch
    from torch import nn

    class ScoringNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(items + 1, items, padding_idx=0)  # PAD is row 0

        def scores(self, batch: Mapping[str, Tensor]) -> Tensor:
            count = (batch["tokens"] > 0).sum(1, keepdim=True)
            return self.table(batch["tokens"]).sum(1) / count

    class RelatedNetwork(ScoringNetwork):
        def neighbours(self) -> tuple[Tensor, Tensor]:
            best, columns = self.table.weight[1:].clone().fill_diagonal_(-torch.inf).topk(neighbours, 1)
            return columns + 1, best

        def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
            del batch
            return retrieval_scores[:, :, 0] + candidates  # later rows first

        def ranking_module(self) -> None:
            return None

        def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
            pairs = self.table(batch["tokens"])[:, None].expand(-1, candidates.shape[1], -1, -1)  # (B, n, L, N)
            rows = (candidates - 1).clamp_min(0)[:, :, None, None].expand(-1, -1, pairs.shape[2], 1)
            likeness = pairs.gather(3, rows).squeeze(3)
            return likeness.masked_fill(batch["tokens"][:, None] == 0, -torch.inf).softmax(-1)

    return RelatedNetwork() if neighbours else ScoringNetwork()
