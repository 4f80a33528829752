"""A plugin whose model has no vectors of its own: it ranks what several other models retrieve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from honeyguide.sdk import Model, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["TinyJoint", "register_models"]


class TinyJoint(Model):
    """Adds to what the retrievers say how well a candidate goes with the history; an earlier retriever counts more."""

    name = "tiny_joint"
    retrieves = False

    @dataclass(frozen=True)
    class Config:
        sources: int = 2
        """How many retrievers there are."""
        width: int = 8
        """Dimensions of the item embedding."""
        max_length: int = 20
        """Newest events that count."""

    def network(self) -> nn.Module:
        return _network(self.data.items, self.config.width, self.config.sources)


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    register(TinyJoint)


def _network(items: int, width: int, sources: int) -> nn.Module:
    import torch
    from torch import nn

    class JointNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ranker = nn.Embedding(items + 1, width, padding_idx=0)  # PAD is row 0

        def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
            taste = self.ranker(batch["tokens"]).sum(1)  # (batch, width)
            own = torch.einsum("bd,bnd->bn", taste, self.ranker(candidates))
            trust = 1.0 / torch.arange(1, sources + 1)  # (sources,): 1, 1/2, 1/3 …
            return own + retrieval_scores @ trust  # (batch, n)

        def ranking_module(self) -> nn.Module:
            return self.ranker

    return JointNetwork()
