"""Builds the network of the model ``joint``: the evidence ranker with a score from each retriever.

B users, n candidates, S retrievers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from honeyguide.models.evidence.ranker import EvidenceRanker
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable

if TYPE_CHECKING:
    from honeyguide.models.joint import JointOptions

__all__ = ["JointNetwork"]


class JointNetwork(nn.Module):
    """Network of the model ``joint``: it ranks, and has no vectors of its own."""

    def __init__(self, config: JointOptions, data: DataSpec) -> None:
        super().__init__()
        self.ranker = EvidenceRanker(config, data, config.sources)

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:  # noqa: ARG002  # the contract's signature
        """Counts popularity and the ranker's evidence."""
        self.ranker.observe(histories)

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores; ``retrieval_scores`` is [B, n, S]."""
        scores: Tensor = self.ranker(batch["tokens"], candidates, retrieval_scores, ages=batch.get("ages"))
        return scores

    def ranking_module(self) -> nn.Module:
        """Returns the evidence ranker."""
        return self.ranker
