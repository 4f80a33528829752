"""Reads events as ratings: what a user thinks of an item, and how much that says of the moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from honeyguide.models.sequence.options import check_at_least
from honeyguide.sdk import Arrays, DataSpec, HistoryBatch, Model, TensorSpec
from honeyguide.sdk.event_weights import event_weights

__all__ = ["RatingModel", "RatingOptions", "Ratings"]


@dataclass(frozen=True)
class RatingOptions:
    """Options of the models that read a history as ratings."""

    max_length: int = 200
    """How many of a user's newest events are read, 1 or more."""
    recency: float = 0.8
    """What an event still counts for with each newer one, above 0 and at most 1; 1: all count alike."""
    event_weight: str = ""
    """What an event's rating is: "" 1 for all, the name of an event feature, or by type such as "purchase:3,view:1"."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, ("max_length",))
        if not 0 < self.recency <= 1:
            raise ValueError(f"recency is {self.recency}; allowed: above 0 and at most 1")


class Ratings(NamedTuple):
    """What users think of items, pair by pair; no pair twice, ordered by user and item."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    """Catalogue rows."""
    values: NDArray[np.float32]
    """Above 0; of several events of a user with an item the largest weight."""

    @classmethod
    def of(cls, histories: HistoryBatch, data: DataSpec, event_weight: str) -> Ratings:
        """Reads the events of all users; raises `ConfigError` where the data lacks what ``event_weight`` names."""
        owners = np.repeat(np.arange(len(histories)), histories.lengths)
        weights = event_weights(histories, data, event_weight, "event_weight")
        keys, pair = np.unique(owners * data.items + histories.items, return_inverse=True)
        values = np.zeros(len(keys), np.float32)
        np.maximum.at(values, pair, np.float32(1) if weights is None else weights)
        return cls(*np.divmod(keys, data.items), values)


class RatingModel(Model):
    """Model that reads a history as tokens and what each of them counts for: its rating, less the older it is."""

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Describes "tokens" and "weights", both [batch, length]."""
        return (*super().inputs(), TensorSpec("weights", "float32", ("batch", "length")))

    def encode(self, batch: HistoryBatch) -> Arrays:
        """Lays out the newest events; the weight of the one that is n events old is ``rating · recency ** n``."""
        config: Any = self.config
        recent = batch.newest(self.max_length)
        age = np.repeat(recent.offsets[1:], recent.lengths) - 1 - np.arange(len(recent.items))  # (events,)
        weights = np.float32(config.recency) ** age.astype(np.float32)
        if (ratings := event_weights(recent, self.data, config.event_weight, "event_weight")) is not None:
            weights = weights * ratings
        return {"tokens": recent.tokens(self.max_length), "weights": recent.padded(weights, self.max_length)}
