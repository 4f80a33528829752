"""Builds the two ends that sequence networks share: events to vectors, and vectors to scores with their loss.

B users, L positions, d dimensions, N items, P positions with a target.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.content_based.item_features import ItemFeatures, ItemProjection, combined_vectors
from honeyguide.models.sequence.event_arrays import WAITS, nearest_waits, numbers_of
from honeyguide.models.sequence.options import SequenceOptions
from honeyguide.models.sequence.softmax import SeenItems, full_softmax_loss, sampled_softmax_loss
from honeyguide.sdk import DataSpec, HistoryBatch

__all__ = ["EventEmbedding", "ItemHead"]

_FULL_UP_TO = 50_000  # items; a softmax over more takes longer than all else in a network
_NEGATIVES = 4096
_TEMPERATURE = 0.05


class EventEmbedding(nn.Module):
    """Embedding of each event as a vector: its item, and what else is known of it; padding is a vector of zeros."""

    nearest_waits: Tensor

    def __init__(
        self,
        config: SequenceOptions,
        data: DataSpec,
        known: ItemFeatures | None = None,
        *,
        free: bool = True,
        waits: bool = False,
    ) -> None:
        """Builds it.

        Args:
            config: of the model.
            data: what it is trained on.
            known: of the items, if anything counts.
            free: whether each item has a part of its own as well.
            waits: whether how long it was to the next event, or to now, is a part of an event, where there are times.
        """
        super().__init__()
        width, numbers = config.dimension, numbers_of(data, config.features)
        # By token; row 0 is PAD.
        self.table = nn.Parameter(torch.randn(data.items + 1, width) * 0.02) if free else None
        self.projection = None if known is None else ItemProjection(known, width)
        self.norm = nn.LayerNorm(width)
        self.numbers = nn.Linear(numbers, width) if numbers else None
        typed = config.features and bool(data.event_types)
        self.types = nn.Embedding(len(data.event_types) + 1, width) if typed else None
        self.waits = nn.Embedding(WAITS + 1, width, padding_idx=0) if waits and data.has_time else None
        for part in (self.numbers, self.types, self.waits):
            if part is not None:
                nn.init.normal_(part.weight, std=0.02)
        if self.waits is not None:
            nn.init.zeros_(self.waits.weight[0])  # not known
            self.register_buffer("nearest_waits", torch.arange(WAITS + 1))
        self.dropout = nn.Dropout(config.dropout)

    def observe(self, histories: HistoryBatch) -> None:
        """Looks which waits there are: any other is read as the nearest, since its own vector is never learnt.

        In times by the second no wait is shorter than one, yet most are when a recorded event is asked about at once.
        """
        if self.waits is not None:
            self.nearest_waits.copy_(torch.from_numpy(nearest_waits(histories)))

    def vectors(self) -> Tensor:
        """Returns the [N + 1, d] vectors of the history's items by token."""
        return combined_vectors(self.table, self.projection, padding=1)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, L, d]."""
        tokens = batch["tokens"]
        x = self.norm(functional.embedding(tokens, self.vectors()))
        if self.numbers is not None:
            x = x + self.numbers(batch["numbers"])
        if self.types is not None:
            x = x + self.types(batch["types"])
        if self.waits is not None:
            x = x + self.waits(self.nearest_waits[batch["waits"]])
        vectors: Tensor = self.dropout(x) * (tokens > 0)[:, :, None]
        return vectors


class ItemHead(nn.Module):
    """User vectors and item vectors of one space, and the loss over them.

    With the whole catalogue in the softmax a score is ``LayerNorm(user) · item + bias``; with drawn negatives it is
    their cosine over a temperature, which keeps rare items from growing wild.
    """

    frequency: Tensor

    def __init__(
        self,
        config: SequenceOptions,
        data: DataSpec,
        events: EventEmbedding,
        known: ItemFeatures | None = None,
        *,
        free: bool = True,
    ) -> None:
        """Builds it; ``events`` has the history's vectors, used where the config says so; the rest is as there."""
        super().__init__()
        self.data = data
        automatic = 0 if data.items <= _FULL_UP_TO else _NEGATIVES
        self.negatives = automatic if config.negatives < 0 else min(config.negatives, data.items)
        self._tied = [events] if config.tied else []  # in a list, so that its parameters are one module's alone
        own = free and not config.tied
        self.table = nn.Parameter(torch.randn(data.items, config.dimension) * 0.02) if own else None
        self.projection = None if known is None or config.tied else ItemProjection(known, config.dimension)
        self.bias = None if self.negatives else nn.Parameter(torch.zeros(data.items))
        self.norm = nn.LayerNorm(config.dimension)
        # how often an item is drawn as a negative, of all draws
        self.register_buffer("frequency", torch.full((data.items,), 1.0 / data.items))

    def observe(self, histories: HistoryBatch) -> None:
        """Counts how often each item is met: half of the negatives are drawn so, half evenly."""
        counts = torch.from_numpy(np.bincount(histories.items, minlength=self.data.items)).float()
        self.frequency.copy_(0.5 / self.data.items + 0.5 * counts / counts.sum().clamp_min(1.0))

    def vectors(self) -> Tensor:
        """Returns the [N, d] items' own vectors."""
        table = self._tied[0].vectors()[1:] if self._tied else combined_vectors(self.table, self.projection)
        return functional.normalize(table, dim=1) if self.negatives else table

    def place(self, items: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d + 1] or [B, d] vectors of items by what is known of them; the bias is the catalogue's mean."""
        projection = self._tied[0].projection if self._tied else self.projection
        if projection is None:
            raise ValueError("nothing is known of the items: train with --option items=text or content")
        table = projection(items)
        if self.bias is None:
            return functional.normalize(table, dim=1)
        return torch.cat([table, self.bias.mean() + torch.zeros_like(table[:, :1])], 1)

    def items(self) -> Tensor:
        """Returns [N, d + 1] with the bias in the last column, or [N, d] where there is none."""
        return self.vectors() if self.bias is None else torch.cat([self.vectors(), self.bias[:, None]], 1)

    def users(self, hidden: Tensor) -> Tensor:
        """Returns user vectors [..., d + 1] or [..., d] from what a network came to, [..., d]."""
        x = self.norm(hidden)
        if self.bias is None:
            return functional.normalize(x, dim=-1) / _TEMPERATURE
        return torch.cat([x, torch.ones_like(x[..., :1])], -1)

    def loss(self, hidden: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the mean cross-entropy of the next items; what a user has seen is left out where items do not repeat.

        Args:
            hidden: [B, L, d].
            batch: a training batch, as `honeyguide.sdk.Network.loss` gets it.
        """
        tokens, targets = batch["tokens"], batch["targets"]
        chosen = (targets > 0) & (tokens > 0)  # [B, L], P of them
        rows = targets[chosen] - 1  # [P]
        weights = batch["weights"][chosen] if "weights" in batch else None
        if self.bias is None:
            drawn = torch.multinomial(self.frequency, self.negatives, replacement=True)
            expected = self.frequency[drawn] * self.negatives
            return sampled_softmax_loss(self.users(hidden[chosen]), self.vectors(), rows, drawn, expected, weights)
        seen = None if self.data.repeats else SeenItems.of(tokens, batch["earlier"], chosen)
        return full_softmax_loss(self.norm(hidden[chosen]), self.vectors(), self.bias, rows, seen, weights)
