"""Builds the network of the model ``attention_lstm``: convolution → LSTM → attention, long and short term gated.

NARM (Li et al., CIKM 2017) and its kin, with a convolution for patterns of neighbouring events in front. At event t::

    c_t     = x_t + gelu(Conv(x_{t−w+1} … x_t))
    h_t     = LSTM(c_t, h_{t−1})
    short_t = W_s h_t                                                   the last events
    long_t  = Σ_j softmax_j(q(h_t) · k(h_j) / √d + lag_bias[t − j]) v(h_j),  j ≤ t
    g_t     = σ(W_g [h_t, long_t])
    user_t  = LayerNorm(g_t ⊙ short_t + (1 − g_t) ⊙ long_t)

As in `gru_network` there are no biases but a last dimension that is 1 at every event, so padding leaves the state of
zeros alone.

B users, L positions, d dimensions, H cells, N items, n candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.content_based.item_features import ItemFeatures
from honeyguide.models.evidence.ranker import EvidenceRanker
from honeyguide.models.evidence.shares import event_shares
from honeyguide.models.evidence.target_attention import TargetAttention
from honeyguide.models.sequence.masked_softmax import MASKED, masked_softmax
from honeyguide.models.sequence.tower import EventEmbedding, ItemHead
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable

if TYPE_CHECKING:
    from honeyguide.models.attention_lstm import AttentionLstmOptions

__all__ = ["AttentionLstmNetwork"]

_FASTEST, _SLOWEST = 0.7, 60.0  # events after which a cell has forgotten all but 1/e at the start, the least and most
_FALL = 20.0  # events in which the attention's bias falls by 1 at the start


class AttentionLstmNetwork(nn.Module):
    """Network of the model ``attention_lstm``."""

    def __init__(self, config: AttentionLstmOptions, data: DataSpec, known: ItemFeatures | None = None) -> None:
        super().__init__()
        width, cells = config.dimension, config.hidden
        self.known = known
        self.events = EventEmbedding(config, data, known, waits=config.gap_to_now)
        self.convolution = nn.Conv1d(width, width, config.window, bias=False)
        self.lstm = nn.LSTM(width + 1, cells, bias=False, batch_first=True)
        self.query, self.key, self.value = (nn.Linear(cells, width, bias=False) for _ in range(3))
        self.lag_bias = nn.Parameter(-torch.arange(config.max_length) / _FALL)
        self.short = nn.Linear(cells, width, bias=False)
        self.gate = nn.Linear(cells + width, width)
        self.head = ItemHead(config, data, self.events, known)
        self.ranker = EvidenceRanker(config, data, attention=TargetAttention(width, config.attended))
        with torch.no_grad():  # from cells that forget at once to cells that keep; what is kept is not written over
            memory = torch.exp(-1.0 / torch.logspace(math.log10(_FASTEST), math.log10(_SLOWEST), cells))
            gates = self.lstm.get_parameter("weight_ih_l0")  # [4 H, d + 1]: input, forget, cell, output
            gates[:cells, -1], gates[cells : 2 * cells, -1] = -torch.logit(memory), torch.logit(memory)

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:
        """Counts popularity, waits and the ranker's evidence, and reads what is known of the items, if that counts."""
        if self.known is not None:
            self.known.observe(items)
        self.events.observe(histories)
        self.head.observe(histories)
        self.ranker.observe(histories)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the [B, L, d + 1] user vectors after each event."""
        return self.head.users(self._fuse(self._states(batch), batch["tokens"]))

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]; only the newest event attends."""
        return self.head.users(self._fuse(self._states(batch), batch["tokens"], last=True)[:, -1])

    def items(self) -> Tensor:
        """Returns [N, d + 1]."""
        return self.head.items()

    def place(self, items: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]: items by what is known of them, without a part of their own."""
        return self.head.place(items)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the cross-entropy of the next items."""
        return self.head.loss(self._fuse(self._states(batch), batch["tokens"]), batch)

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores; candidates attend to the newest events."""
        tables = self.events.vectors(), self.head.vectors()
        scores: Tensor = self.ranker(batch["tokens"], candidates, retrieval_scores, tables, batch.get("ages"))
        return scores

    def ranking_module(self) -> nn.Module:
        """Returns the evidence ranker."""
        return self.ranker

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: each event's share in a candidate's score; the short-term interest is the newest's."""
        states = self._states(batch)
        attention = self._attention(states, batch["tokens"], last=True)  # [B, 1, L]
        parts = attention.transpose(1, 2) * self.value(states)  # [B, L, d]
        gate, short = self._gate(states[:, -1:], parts.sum(1, keepdim=True))
        newest = torch.arange(parts.shape[1], device=parts.device) == parts.shape[1] - 1
        parts = (1.0 - gate) * parts + gate * short * newest[:, None]
        vectors = functional.pad(self.head.vectors(), (0, 0, 1, 0))[candidates] * self.head.norm.weight  # [B, n, d]
        return event_shares(vectors @ parts.transpose(1, 2), batch["tokens"])

    def _states(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, L, H]."""
        events = self.events(batch)
        real = (batch["tokens"] > 0)[:, :, None].to(events.dtype)
        before = functional.pad(events.transpose(1, 2), (self.convolution.kernel_size[0] - 1, 0))
        # Without .contiguous() the exporter freezes the length.
        patterns = functional.gelu(self.convolution(before)).transpose(1, 2).contiguous()
        states: Tensor = self.lstm(torch.cat([(events + patterns) * real, real], 2))[0]
        return states

    def _fuse(self, states: Tensor, tokens: Tensor, last: bool = False) -> Tensor:
        """Returns [B, L, d], or [B, 1, d] for the newest event alone."""
        long = self._attention(states, tokens, last) @ self.value(states)
        gate, short = self._gate(states[:, -1:] if last else states, long)
        fused: Tensor = gate * short + (1.0 - gate) * long
        return fused

    def _gate(self, states: Tensor, long: Tensor) -> tuple[Tensor, Tensor]:
        """Returns how much the short term counts, and the short-term interest, each as ``long`` [B, L or 1, d]."""
        return torch.sigmoid(self.gate(torch.cat([states, long], 2))), self.short(states)

    def _attention(self, states: Tensor, tokens: Tensor, last: bool) -> Tensor:
        """Returns [B, L or 1, L]: how much each event attends to those before it and to itself."""
        query = self.query(states[:, -1:] if last else states)
        scores = query @ self.key(states).transpose(1, 2) / query.shape[2] ** 0.5
        places = torch.arange(states.shape[1], device=states.device)
        lags = (places[-1:] if last else places)[:, None] - places
        by_lag = functional.pad(self.lag_bias, (1, 0), value=MASKED)  # first what is still to come
        scores = scores + by_lag[(lags + 1).clamp_min(0)]
        return masked_softmax(scores, (tokens == 0)[:, None, :])
