"""Offers the model ``mlp``: neural collaborative filtering whose users are pooled histories, not parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.models.sequence.options import SEQUENCE_FIT, check_at_least, check_shares
from honeyguide.sdk import Model, RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Mlp", "MlpOptions", "register_models"]

_LONGEST = 32_767  # columns that the softmax can tell apart


@dataclass(frozen=True)
class MlpOptions:
    """Options of ``mlp``."""

    max_length: int = 200
    """How many of a user's newest events are read, 1–32,767."""
    dimension: int = 128
    """Dimensions of user and item vectors, 1 or more; one more is added for the items' bias."""
    poolings: int = 4
    """Weighted sums that a history is pooled to, from the last events alone to all of them; 1 or more."""
    hidden: int = 64
    """Width of the ranker's perceptron at its first layer, twice that of its second; 2 or more."""
    dropout: float = 0.3
    """Share of the history's cells set to 0 while learning, 0 or more and below 1."""
    ranker_dropout: float = 0.2
    """Share of the perceptron's cells set to 0 while learning, 0 or more and below 1."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, ("max_length", "dimension", "poolings"))
        check_at_least(self, 2, ("hidden",))
        check_shares(self, ("dropout", "ranker_dropout"))
        if self.max_length > _LONGEST:
            raise ValueError(f"max_length is {self.max_length}; allowed: at most {_LONGEST}")


class Mlp(Model):
    """Matrix factorisation and a perceptron over a pooled history.

    See `honeyguide.models.mlp_network`.
    """

    name = "mlp"
    Config = MlpOptions
    fit_defaults: ClassVar[Mapping[str, Any]] = {
        **SEQUENCE_FIT,
        "epochs": 6,
        "final_epochs": 3,
        "patience": 6,
        "lr": 7e-3,
    }

    def network(self) -> nn.Module:
        """Builds the untrained network."""
        from honeyguide.models.mlp_network import MlpNetwork

        return MlpNetwork(self.config, self.data)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``mlp``."""
    register(Mlp)
