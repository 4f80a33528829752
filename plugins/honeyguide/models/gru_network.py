"""Builds the network of the model ``gru``: item embeddings → GRU → user vector.

Hidasi et al., "Session-based recommendations with recurrent neural networks" (ICLR 2016), trained by a softmax over the
whole catalogue at every position. For the event x_t::

    z_t = σ(W_z x_t + U_z h_{t−1})                  the update gate: how much of the state stays
    r_t = σ(W_r x_t + U_r h_{t−1})                  the reset gate: how much of it the new content looks at
    h_t = z_t ⊙ h_{t−1} + (1 − z_t) ⊙ tanh(W x_t + r_t ⊙ U h_{t−1})

There are no biases, but x has a last dimension that is 1 at every event: so the zeros of padding leave the state of
zeros alone, and the answer does not depend on how much padding a batch has.

B users, L positions, d dimensions, H cells, N items, n candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from honeyguide.models.content_based.item_features import ItemFeatures
from honeyguide.models.evidence.ranker import EvidenceRanker
from honeyguide.models.sequence.tower import EventEmbedding, ItemHead
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable

if TYPE_CHECKING:
    from honeyguide.models.gru import GruOptions

__all__ = ["GruNetwork"]

_FASTEST, _SLOWEST = 0.7, 60.0  # events after which a cell has forgotten all but 1/e at the start, the least and most


class GruNetwork(nn.Module):
    """Network of the model ``gru``."""

    def __init__(self, config: GruOptions, data: DataSpec, known: ItemFeatures | None = None) -> None:
        super().__init__()
        self.known = known
        self.events = EventEmbedding(config, data, known)
        self.gru = nn.GRU(config.dimension + 1, config.hidden, bias=False, batch_first=True)
        self.outward = nn.Linear(config.hidden, config.dimension, bias=False)
        self.head = ItemHead(config, data, self.events, known)
        self.ranker = EvidenceRanker(config, data)
        with torch.no_grad():  # the update gates' weights for the constant 1: from cells that forget to cells that keep
            memory = torch.exp(-1.0 / torch.logspace(math.log10(_FASTEST), math.log10(_SLOWEST), config.hidden))
            gates = self.gru.get_parameter("weight_ih_l0")  # [3 H, d + 1]: reset, update, new
            gates[config.hidden : 2 * config.hidden, -1] = torch.logit(memory)

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:
        """Counts popularity and the ranker's evidence, and reads what is known of the items, if that counts."""
        if self.known is not None:
            self.known.observe(items)
        self.head.observe(histories)
        self.ranker.observe(histories)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the [B, L, d + 1] user vectors after each event."""
        return self.head.users(self._hidden(batch))

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]."""
        return self.vector(self.state(batch))

    def items(self) -> Tensor:
        """Returns [N, d + 1]."""
        return self.head.items()

    def place(self, items: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]: items by what is known of them, without a part of their own."""
        return self.head.place(items)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the cross-entropy of the next items."""
        return self.head.loss(self._hidden(batch), batch)

    def state(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, H]: what the whole history comes to."""
        states, _ = self.gru(self._inputs(batch))
        last: Tensor = states[:, -1]
        return last

    def step(self, state: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, H]: the state after one more event."""
        states, _ = self.gru(self._inputs(batch), state[None])
        after: Tensor = states[:, -1]
        return after

    def vector(self, state: Tensor) -> Tensor:
        """Returns [B, d + 1]: the user vector that a state stands for."""
        return self.head.users(self.outward(state))

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores."""
        scores: Tensor = self.ranker(batch["tokens"], candidates, retrieval_scores, ages=batch.get("ages"))
        return scores

    def ranking_module(self) -> nn.Module:
        """Returns the evidence ranker."""
        return self.ranker

    def _hidden(self, batch: Mapping[str, Tensor]) -> Tensor:
        states, _ = self.gru(self._inputs(batch))  # [B, L, H]
        hidden: Tensor = self.outward(states)
        return hidden

    def _inputs(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, L, d + 1]: the events, and 1 where there is one."""
        events = self.events(batch)
        return torch.cat([events, (batch["tokens"] > 0)[:, :, None].to(events.dtype)], 2)
