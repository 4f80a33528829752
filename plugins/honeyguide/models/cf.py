"""Offers the model ``cf``: collaborative filtering that needs no user parameters, with an evidence ranker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.models.options import SEQUENCE_FIT, RankerOptions, at_least, shares
from honeyguide.sdk import Model, hookimpl
from honeyguide.sdk.hooks import RegisterModel

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CollaborativeFiltering", "Config", "register_models"]


@dataclass(frozen=True)
class Config(RankerOptions):
    """Holds the options of ``cf``."""

    dimension: int = 128
    """Dimensions of user and item vectors, 1 or more; one more is added for the items' bias."""
    max_length: int = 200
    """How many of a user's newest events count: the lags with a weight of their own; 1–32,767."""
    dropout: float = 0.3
    """Share of the history's item vectors' cells set to 0 while learning, 0 or more and below 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, ("dimension", "max_length"))
        shares(self, ("dropout",))
        if self.max_length > 32_767:
            raise ValueError(f"max_length is {self.max_length}; allowed: at most 32767")


class CollaborativeFiltering(Model):
    """Adds up the items of a history, each by its recency (see `honeyguide.models.cf_network` for the formulas)."""

    name = "cf"
    Config = Config
    fit_defaults: ClassVar[Mapping[str, Any]] = {
        **SEQUENCE_FIT,
        "epochs": 6,
        "final_epochs": 3,
        "patience": 6,
        "lr": 7e-3,
    }

    def network(self) -> nn.Module:
        """Builds the untrained network."""
        from honeyguide.models.cf_network import CollaborativeNetwork

        return CollaborativeNetwork(self.config, self.data)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``cf``."""
    register(CollaborativeFiltering)
