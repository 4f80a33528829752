"""Offers the model ``transformer``: causal self-attention over the history (the SASRec family)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.models.sequence.model import SequenceModel
from honeyguide.models.sequence.options import SEQUENCE_FIT, ClockOptions, check_at_least
from honeyguide.sdk import RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Transformer", "TransformerOptions", "register_models"]


@dataclass(frozen=True)
class TransformerOptions(ClockOptions):
    """Options of ``transformer``."""

    blocks: int = 2
    """Layers of attention and perceptron, 1 or more."""
    heads: int = 4
    """Attention heads of a block, 1 or more; ``dimension`` is a multiple of it."""
    expansion: int = 2
    """Width of a block's perceptron in multiples of ``dimension``, 1 or more."""
    time_bias: bool = False
    """Whether attention also depends on the time from an event to the answer, where the data has times."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, ("blocks", "heads", "expansion"))
        if self.dimension % self.heads:
            raise ValueError(f"dimension is {self.dimension}; allowed: a multiple of heads, which is {self.heads}")


class Transformer(SequenceModel):
    """Attention from the newest event to all before.

    See `honeyguide.models.transformer_network`.
    """

    name = "transformer"
    Config = TransformerOptions
    fit_defaults: ClassVar[Mapping[str, Any]] = {**SEQUENCE_FIT, "epochs": 12, "lr": 4e-3}

    def network(self) -> nn.Module:
        """Builds the untrained network."""
        from honeyguide.models.transformer_network import TransformerNetwork

        return TransformerNetwork(self.config, self.data, self.known())

    @property
    def reads_ages(self) -> bool:
        """Whether the network is given "ages", where the data has times."""
        return bool(self.config.time_bias or self.config.ranker_time)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``transformer``."""
    register(Transformer)
