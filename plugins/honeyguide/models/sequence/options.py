"""Lists the options that several models share, and checks their ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honeyguide.models.content_based.text_encoder import ENCODER

__all__ = [
    "SEQUENCE_FIT",
    "ClockOptions",
    "ItemOptions",
    "RankerOptions",
    "RetrieverOptions",
    "SequenceOptions",
    "check_at_least",
    "check_shares",
]

_LONGEST = 32_767


@dataclass(frozen=True)
class RankerOptions:
    """Options of the evidence ranker (see `honeyguide.models.evidence.ranker`)."""

    max_length: int = 200
    """How many of a user's newest events are read, 1–32,767."""
    neighbours: int = 200
    """Neighbours of each item that the ranker's evidence keeps, 1 or more; at most 10 million in all, so fewer than 200
    beyond 50,000 items."""
    events: int = 10
    """Newest events whose neighbours count as evidence, each with weights of its own; 1 or more."""
    ranker_hidden: int = 64
    """Width of the ranker's perceptron, 1 or more."""
    ranker_dropout: float = 0.1
    """Share of the perceptron's cells set to 0 while learning, 0 or more and below 1."""
    ranker_time: bool = False
    """Whether the ranker also reads how long before the moment of the answer each event was, where the data has
    times."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, ("max_length", "neighbours", "events", "ranker_hidden"))
        check_shares(self, ("ranker_dropout",))
        if self.max_length > _LONGEST:
            raise ValueError(f"max_length is {self.max_length}; allowed: at most {_LONGEST}")


@dataclass(frozen=True)
class RetrieverOptions(RankerOptions):
    """Options of every model with user and item vectors."""

    dimension: int = 128
    """Dimensions of user and item vectors, 1 or more; one more is added for the items' bias."""
    dropout: float = 0.3
    """Share of cells set to 0 while learning, 0 or more and below 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, ("dimension",))
        check_shares(self, ("dropout",))


@dataclass(frozen=True)
class ItemOptions:
    """Options of what item vectors are made of (see `honeyguide.models.content_based.item_content`)."""

    items: tuple[str, ...] = ()
    """What item vectors are made of beside a free part of their own: "text", a text encoder's reading of title,
    categories and ``item_columns``; "words", the words of these; "content", attributes, numbers and brought vectors; or
    several, with a comma."""
    item_columns: tuple[str, ...] = ()
    """Kept columns of the items that count, by name; none: for "content" all, for the others title and categories."""
    encoder: str = ENCODER
    """What reads texts, with its version."""


@dataclass(frozen=True)
class SequenceOptions(ItemOptions, RetrieverOptions):
    """Options of every model that reads a history as a sequence."""

    features: bool = True
    """Whether dwell, clicks, quantity, value, event type and the time between events are read, if the data has them."""
    tied: bool = False
    """Whether the history's items and the candidates share one table."""
    negatives: int = -1
    """Items that a target is compared with: 0 is the whole catalogue, more are drawn at random and shared by a batch;
    -1 is 0 up to 50,000 items and 4,096 beyond."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, -1, ("negatives",))


@dataclass(frozen=True)
class ClockOptions(SequenceOptions):
    """Options of sequence models in which what an event says depends on how long it was to the next one.

    `gru` keeps a state, which cannot hold a moment that is not known yet; sums of events move all answers alike.
    """

    gap_to_now: bool = False
    """Whether each event also says how long after it the next one came, and the newest how long before the moment of
    the answer it was, where the data has times."""


def check_at_least(config: object, least: int, names: Sequence[str]) -> None:
    """Raises `ValueError` for the first option below ``least``."""
    for name in names:
        if getattr(config, name) < least:
            raise ValueError(f"{name} is {getattr(config, name)}; allowed: {least} or more")


def check_shares(config: object, names: Sequence[str]) -> None:
    """Raises `ValueError` for the first option that is no share: 0 or more and below 1."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}; allowed: 0 or more and below 1")


SEQUENCE_FIT: Mapping[str, Any] = {
    "final_epochs": 5,
    "patience": 12,  # the rate falls to the end, and the last epochs are the best
    "beta2": 0.98,
    "weight_decay": 0.01,
    "schedule": "one-cycle",
    "batch_tokens": 9600,
    "min_batches": 100,
    "ranker_epochs": 3,
    "ranker_lr": 3e-3,
    "ranker_weight_decay": 1e-3,
}
"""Training options that suit every sequence model, found on MovieLens-1M's validation users."""
