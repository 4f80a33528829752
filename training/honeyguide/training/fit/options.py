"""Says how to train: every option with its default and its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.model import Model

__all__ = ["SCHEDULES", "FitOptions"]

SCHEDULES = ("constant", "one-cycle")
"""How the learning rate goes: as it is; or up to it in a tenth of the batches, and down to next to nothing."""


@dataclass(frozen=True, slots=True)
class FitOptions:
    """Options of a training. A model's own defaults stand in its class attribute ``fit_defaults``."""

    epochs: int = 100
    """The most epochs, 1 or more."""
    final_epochs: int = 0
    """As ``epochs``, for a final retriever that goes on from the first one; 0 = as ``epochs``."""
    patience: int = 10
    """Epochs without a better validation NDCG@10 before training stops, 1 or more."""
    lr: float = 1e-3
    """AdamW's learning rate, above 0."""
    weight_decay: float = 0.0
    """AdamW's weight decay of tables and matrices, 0 or more; gains, biases and scalars do not decay."""
    beta2: float = 0.999
    """AdamW's decay of the squared gradients' mean, above 0 and below 1."""
    schedule: str = "constant"
    """How the learning rate goes: "constant"; or "one-cycle", up to ``lr`` in a tenth of the batches that ``epochs``
    come to and down to next to nothing in the rest."""
    batch_tokens: int = 8192
    """Sequences × longest length of a batch, 1 or more."""
    min_batches: int = 1
    """Batches of an epoch at least, 1 or more: small data gets smaller batches, so that it gets as many
    updates; the ranker's lists, too."""
    target_weight: str = ""
    """What a target counts for in the retriever's loss: "" all alike; "dwell_seconds" or another feature, the more the
    higher, between 0 and 2 times; or by event type, such as "purchase:3,view:1", 1 where a type is not named."""
    seed: int = 0
    """Seeds the initial weights, the targets, the batches and dropout; 0 to 2³² − 1."""
    candidates: int = 200
    """How many retrieved items the ranker reorders, 2 or more; 0 trains no ranker."""
    ranker_tail: int = 10
    """How many of each user's last training baskets are held back for the ranker, at most a third; 1 or more."""
    ranker_epochs: int = 30
    """As ``epochs``, for the ranker."""
    ranker_patience: int = 3
    """As ``patience``, for the ranker, on a tenth of the users."""
    ranker_lr: float = 1e-3
    """As ``lr``, for the ranker."""
    ranker_weight_decay: float = 0.0
    """As ``weight_decay``, for the ranker."""
    ranker_batch: int = 128
    """Candidate lists of a batch at most, 1 or more."""
    ranker_lists: int = 100_000
    """The most candidate lists, drawn at random where there are more; 1 or more."""

    def __post_init__(self) -> None:
        smallest = {"seed": 0, "candidates": 0, "final_epochs": 0, "weight_decay": 0, "ranker_weight_decay": 0}
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"option 'schedule' is {self.schedule!r}; allowed: {', '.join(SCHEDULES)}")
        if not 0 < self.beta2 < 1:
            raise ConfigError(f"option 'beta2' is {self.beta2}; allowed: above 0 and below 1")
        if self.seed >= 1 << 32:
            raise ConfigError(f"option 'seed' is {self.seed}; allowed: 0 to {(1 << 32) - 1}")
        if self.candidates == 1:
            raise ConfigError("option 'candidates' is 1; allowed: 0 for no ranker, or 2 or more, as one has no order")
        for name in set(self.__slots__) - {"schedule", "beta2", "target_weight"}:
            value = getattr(self, name)
            if name in ("lr", "ranker_lr"):
                if not value > 0:
                    raise ConfigError(f"option {name!r} is {value}; allowed: above 0")
            elif not value >= smallest.get(name, 1):
                raise ConfigError(f"option {name!r} is {value}; allowed: {smallest.get(name, 1)} or more")

    @classmethod
    def for_model(cls, model: type[Model], options: Mapping[str, Any]) -> FitOptions:
        """Returns the model's defaults with the given options, values or text, over them."""
        return cast("FitOptions", config_from(cls, {**model.fit_defaults, **options}))
