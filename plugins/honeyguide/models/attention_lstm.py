"""Offers the model ``attention_lstm``: long- and short-term interest from a convolution, an LSTM and attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.models.sequence.model import SequenceModel
from honeyguide.models.sequence.options import SEQUENCE_FIT, ClockOptions, check_at_least
from honeyguide.sdk import RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["AttentionLstm", "AttentionLstmOptions", "register_models"]


@dataclass(frozen=True)
class AttentionLstmOptions(ClockOptions):
    """Options of ``attention_lstm``."""

    hidden: int = 256
    """Cells of the LSTM, 1 or more."""
    window: int = 3
    """Events that the convolution sees at a time, 1 or more."""
    attended: int = 50
    """Newest events that the ranker's candidates attend to, 1 or more."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, ("hidden", "window", "attended"))


class AttentionLstm(SequenceModel):
    """Fusion of the long-term taste with the last events.

    See `honeyguide.models.attention_lstm_network`.
    """

    name = "attention_lstm"
    Config = AttentionLstmOptions
    fit_defaults: ClassVar[Mapping[str, Any]] = {**SEQUENCE_FIT, "epochs": 10, "lr": 4e-3}

    def network(self) -> nn.Module:
        """Builds the untrained network."""
        from honeyguide.models.attention_lstm_network import AttentionLstmNetwork

        return AttentionLstmNetwork(self.config, self.data, self.known())


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``attention_lstm``."""
    register(AttentionLstm)
