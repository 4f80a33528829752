"""A whole plugin in one file: a one-layer GRU that recommends and steps, and a sister that also ranks and explains.

It shows that the contract is not CF's alone, and stands in for a trained model where a test needs a bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from honeyguide.sdk import Model, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["TinyGru", "TinyRanker", "register_models"]


class TinyGru(Model):
    """Encodes a history with a GRU (Hidasi et al., 2016) over item embeddings; its state goes on event by event."""

    name = "tiny_gru"

    @dataclass(frozen=True)
    class Config:
        width: int = 16
        """Dimensions of item and user vectors."""
        max_length: int = 20
        """Newest events that count."""

    def network(self) -> nn.Module:
        return _network(self.data.items, self.config.width, ranks=False)


class TinyRanker(Model):
    """Encodes as `TinyGru` does, ranks by inner product plus a learnt popularity, and explains by likeness of items."""

    name = "tiny_ranker"
    Config = TinyGru.Config

    def network(self) -> nn.Module:
        return _network(self.data.items, self.config.width, ranks=True)


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    register(TinyGru)
    register(TinyRanker)


def _network(items: int, width: int, *, ranks: bool) -> nn.Module:
    import torch
    from torch import nn
    from torch.nn import functional

    class GruNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(items + 1, width, padding_idx=0)  # PAD is row 0
            # Without biases a zero input leaves the zero state alone, so padding on the left changes nothing.
            self.gru = nn.GRU(width, 2 * width, batch_first=True, bias=False)
            self.out = nn.Linear(2 * width, width, bias=False)

        def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
            states, _ = self.gru(self.embedding(batch["tokens"]))  # (batch, length, 2 width)
            return self.out(states)  # (batch, length, width)

        def user(self, batch: Mapping[str, Tensor]) -> Tensor:
            return self.vector(self.state(batch))  # (batch, width)

        def state(self, batch: Mapping[str, Tensor]) -> Tensor:
            return self.gru(self.embedding(batch["tokens"]))[0][:, -1]  # (batch, 2 width)

        def step(self, state: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
            return self.gru(self.embedding(batch["tokens"]), state[None])[0][:, -1]  # (batch, 2 width)

        def vector(self, state: Tensor) -> Tensor:
            return self.out(state)  # (batch, width)

        def items(self) -> Tensor:
            return self.embedding.weight[1:]  # (items, width)

        def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
            scores = self.positions(batch) @ self.items().T  # (batch, length, items)
            # Token 0 says that a position has no next item; minus 1 it is the ignored class.
            return functional.cross_entropy(scores.flatten(0, 1), batch["targets"].flatten() - 1, ignore_index=-1)

    class RankingGruNetwork(GruNetwork):
        def __init__(self) -> None:
            super().__init__()
            self.ranker = nn.Embedding(items + 1, 1, padding_idx=0)

        def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
            own = torch.einsum("bd,bnd->bn", self.user(batch), self.embedding(candidates))
            return own + self.ranker(candidates).squeeze(-1)  # (batch, n); what retrieval said is not needed

        def ranking_module(self) -> nn.Module:
            return self.ranker

        def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
            likeness = self.embedding(candidates) @ self.embedding(batch["tokens"]).mT  # (batch, n, length)
            return likeness.masked_fill(batch["tokens"][:, None] == 0, -torch.inf).softmax(-1)

    return RankingGruNetwork() if ranks else GruNetwork()
