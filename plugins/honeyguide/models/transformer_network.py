"""Builds the network of the model ``transformer``: pre-norm causal self-attention with a bias for each lag.

The line of work: SASRec (Kang & McAuley, ICDM 2018), trained by a softmax over the whole catalogue at every position
(Klenitskiy & Vasilev, RecSys 2023). Where an event stands is known to attention alone, as one learnt bias for each head
and lag: so all positions learn the same function, the newest event's, and length is free. Each head's bias starts as a
fall by recency, some fast and some slow (Press et al., ALiBi, ICLR 2022).

    attention(t, j) = softmax_j(q_t · k_j / √(d / heads) + lag_bias[t − j] + time_bias[now_t − time_j]),  j ≤ t

B users, L positions, d dimensions, N items, n candidates.
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
from honeyguide.models.sequence.masked_softmax import MASKED, masked_softmax
from honeyguide.models.sequence.softmax import fast_bfloat16
from honeyguide.models.sequence.tower import EventEmbedding, ItemHead
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable

if TYPE_CHECKING:
    from honeyguide.models.transformer import TransformerOptions

__all__ = ["TransformerNetwork"]

_FASTEST, _SLOWEST = 1.0, 100.0  # events in which a head's bias falls by 1 at the start, the least and the most
_TIMES = 32  # buckets of time, two for each doubling from an hour on: 9 years


class TransformerNetwork(nn.Module):
    """Network of the model ``transformer``."""

    def __init__(self, config: TransformerOptions, data: DataSpec, known: ItemFeatures | None = None) -> None:
        super().__init__()
        timed = config.time_bias and data.has_time
        self.known = known
        self.events = EventEmbedding(config, data, known, waits=config.gap_to_now)
        blocks = [Block(config, timed) for _ in range(config.blocks)]
        self.early, self.final = nn.ModuleList(blocks[:-1]), blocks[-1]
        self.head = ItemHead(config, data, self.events, known)
        self.ranker = EvidenceRanker(config, data)

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:
        """Counts popularity, waits and the ranker's evidence, and reads what is known of the items, if that counts."""
        if self.known is not None:
            self.known.observe(items)
        self.events.observe(histories)
        self.head.observe(histories)
        self.ranker.observe(histories)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the [B, L, d + 1] user vectors after each event."""
        return self.head.users(self._hidden(batch))

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]; the last block computes the last position alone."""
        x, real, times = self._begin(batch)
        for block in self.early:
            x = block(x, real, times)
        return self.head.users(self.final.newest(x, real, times))

    def items(self) -> Tensor:
        """Returns [N, d + 1]."""
        return self.head.items()

    def place(self, items: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1]: items by what is known of them, without a part of their own."""
        return self.head.place(items)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the cross-entropy of the next items."""
        return self.head.loss(self._hidden(batch), batch)

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores."""
        scores: Tensor = self.ranker(batch["tokens"], candidates, retrieval_scores, ages=batch.get("ages"))
        return scores

    def ranking_module(self) -> nn.Module:
        """Returns the evidence ranker."""
        return self.ranker

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: each event's share in what the last block's attention says for a candidate."""
        x, real, times = self._begin(batch)
        for block in self.early:
            x = block(x, real, times)
        vectors = functional.pad(self.head.vectors(), (0, 0, 1, 0))[candidates] * self.head.norm.weight  # [B, n, d]
        return event_shares(vectors @ self.final.contributions(x, real, times).transpose(1, 2), batch["tokens"])

    def _hidden(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, L, d]. While learning, matrices are multiplied in bfloat16 where that is fast."""
        x, real, times = self._begin(batch)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.training and fast_bfloat16(x.device)):
            for block in (*self.early, self.final):
                x = block(x, real, times)
        return x.float()

    def _begin(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns the events [B, L, d], which of them are real [B, L], and their ages [B, L] in days if it has them."""
        ages = batch["ages"] if self.final.time_bias is not None else None
        return self.events(batch), batch["tokens"] > 0, ages


class Block(nn.Module):
    """Layer of attention, then a perceptron, each on normalised input and added to it."""

    def __init__(self, config: TransformerOptions, timed: bool) -> None:
        super().__init__()
        width, inner = config.dimension, config.dimension * config.expansion
        self.heads = config.heads
        self.before_attention, self.before_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)  # the keys' rows, then the values'
        self.output = nn.Linear(width, width, bias=False)
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(config.dropout)
        fall = torch.logspace(math.log10(_FASTEST), math.log10(_SLOWEST), config.heads)[:, None]
        self.lag_bias = nn.Parameter(-torch.arange(config.max_length) / fall)  # [heads, lags]
        self.time_bias = nn.Parameter(torch.zeros(config.heads, _TIMES)) if timed else None
        for layer in (self.output, self.outer):  # each block begins as nearly nothing
            nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor, real: Tensor, ages: Tensor | None) -> Tensor:
        """Returns [B, L, d] from [B, L, d]."""
        attention, values = self._attend(x, real, ages, last=False)
        return self._finish(x, self.output((attention.to(values.dtype) @ values).transpose(1, 2).flatten(2)))

    def newest(self, x: Tensor, real: Tensor, ages: Tensor | None) -> Tensor:
        """Returns [B, d]: what `forward` gives the newest position, which alone attends.

        So no position needs a key or a value: what is asked of the keys is asked of the input, and the input's mean is
        what becomes a value.
        """
        heads, width = self.heads, x.shape[2]
        query = self.query.weight.view(heads, -1, width)  # [heads, d / heads, d]
        key, value = self.key_value.weight.view(2, heads, -1, width)
        asked = (query.transpose(1, 2) @ key).transpose(0, 1).flatten(1)  # [d, heads · d]
        answered = (value.transpose(1, 2) @ self.output.weight.T.view(heads, -1, width)).flatten(0, 1)  # [heads · d, d]
        normal = self.before_attention(x)
        scores = (normal[:, -1] @ asked).unflatten(1, (heads, width)) @ normal.transpose(1, 2)  # [B, heads, L]
        scores = scores * (width // heads) ** -0.5 + self._bias(x.shape[1], ages, last=True)[:, :, 0]
        attention = masked_softmax(scores, ~real[:, None, :])
        return self._finish(x[:, -1], (attention @ normal).flatten(1) @ answered)

    def _finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Adds what attention came to, then the perceptron's answer; all are [..., d]."""
        x = x + self.dropout(mixed)
        inner = self.dropout(functional.gelu(self.inner(self.before_perceptron(x))))
        out: Tensor = x + self.dropout(self.outer(inner))
        return out

    def contributions(self, x: Tensor, real: Tensor, ages: Tensor | None) -> Tensor:
        """Returns [B, L, d]: what each event adds to the newest position; the newest one, with what it brings along."""
        attention, values = self._attend(x, real, ages, last=True)
        parts = (attention[:, :, 0, :, None] * values).transpose(1, 2).flatten(2)  # [B, L, d]
        newest = torch.arange(x.shape[1], device=x.device) == x.shape[1] - 1
        mixed: Tensor = self.output(parts) + x * newest[:, None]
        return mixed

    def _attend(self, x: Tensor, real: Tensor, ages: Tensor | None, last: bool) -> tuple[Tensor, Tensor]:
        """Returns the attention [B, heads, L or 1, L] and the values [B, heads, L, d / heads]."""
        normal = self.before_attention(x)
        query = self._split(self.query(normal[:, -1:] if last else normal))
        key, value = (self._split(part) for part in self.key_value(normal).chunk(2, 2))
        scores = query @ key.transpose(2, 3) * (x.shape[2] // self.heads) ** -0.5
        scores = scores + self._bias(x.shape[1], ages, last).to(scores.dtype)
        return masked_softmax(scores, ~real[:, None, None, :]), value

    def _bias(self, length: int, ages: Tensor | None, last: bool) -> Tensor:
        """Returns [1 or B, heads, L or 1, L]."""
        places = torch.arange(length, device=self.lag_bias.device)
        lags = (places[-1:] if last else places)[:, None] - places
        by_lag = functional.pad(self.lag_bias, (1, 0), value=MASKED).T  # first what is still to come
        bias = functional.embedding((lags + 1).clamp_min(0), by_lag).permute(2, 0, 1)[None]
        if self.time_bias is None or ages is None:
            return bias
        now = torch.zeros_like(ages[:, -1:]) if last else self._moments(ages, lags)
        days = ages[:, None, :] - now[:, :, None]  # [B, L or 1, L]
        bucket = (2.0 * torch.log2(1.0 + 24.0 * days.clamp_min(0.0))).long().clamp_max(_TIMES - 1)
        return bias + self.time_bias[:, bucket].transpose(0, 1)

    @staticmethod
    def _moments(ages: Tensor, lags: Tensor) -> Tensor:
        """Returns the ages [B, L] of what each position predicts: the next event of another time, or now, at age 0."""
        later = (lags < 0) & (ages[:, None, :] < ages[:, :, None])  # [B, L, L]
        moments: Tensor = (ages[:, None, :] * later).amax(2)
        return moments

    def _split(self, x: Tensor) -> Tensor:
        """Returns [B, heads, L, d / heads] from [B, L, d]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
