"""Says how far a training is, to whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["OnProgress", "Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is; made after every batch."""

    phase: str
    """What is being trained: "first" (a retriever that sees part of the data), "ranker" or "retriever"."""
    epoch: int
    """From 1."""
    epochs: int
    """The most there will be in this phase."""
    batch: int
    """Batches done in this epoch."""
    batches: int
    score: float
    """The best validation NDCG@10 of this phase so far."""
    plan: Mapping[str, int] = field(default_factory=dict)
    """The most epochs of each phase of the whole training, in their order; empty where a phase is trained alone."""


OnProgress = Callable[[Progress], None]
