"""Offers the model ``gru``: a gated recurrent unit over the history, which a server steps event by event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.models.sequence.model import SequenceModel
from honeyguide.models.sequence.options import SEQUENCE_FIT, SequenceOptions, check_at_least
from honeyguide.sdk import RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Gru", "GruOptions", "register_models"]


@dataclass(frozen=True)
class GruOptions(SequenceOptions):
    """Options of ``gru``."""

    hidden: int = 256
    """Cells of the recurrent state, 1 or more."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, ("hidden",))


class Gru(SequenceModel):
    """Recurrent model: a GRU over the history.

    See `honeyguide.models.gru_network`.
    """

    name = "gru"
    Config = GruOptions
    fit_defaults: ClassVar[Mapping[str, Any]] = {**SEQUENCE_FIT, "epochs": 10, "lr": 4e-3}

    def network(self) -> nn.Module:
        """Builds the untrained network."""
        from honeyguide.models.gru_network import GruNetwork

        return GruNetwork(self.config, self.data, self.known())


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``gru``."""
    register(Gru)
