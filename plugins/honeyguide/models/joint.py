"""Offers the model ``joint``: one ranker over the candidates of several retrievers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.models.sequence.event_arrays import encode_events, event_inputs
from honeyguide.models.sequence.options import SEQUENCE_FIT, RankerOptions, check_at_least
from honeyguide.sdk import Arrays, HistoryBatch, Model, RegisterModel, TensorSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Joint", "JointOptions", "register_models"]


@dataclass(frozen=True)
class JointOptions(RankerOptions):
    """Options of ``joint``."""

    sources: int = 3
    """How many models retrieve for it, 1 or more; training sets it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, ("sources",))


class Joint(Model):
    """Ranker of what others retrieve, by all their scores and the evidence of `honeyguide.models.evidence.ranker`."""

    name = "joint"
    Config = JointOptions
    retrieves = False
    fit_defaults: ClassVar[Mapping[str, Any]] = {**SEQUENCE_FIT, "candidates": 100}

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Describes the items' tokens, and the events' ages where the ranker reads them."""
        return event_inputs(self.data, False, ages=self.config.ranker_time)

    def encode(self, batch: HistoryBatch) -> Arrays:
        """Lays out the newest events' items."""
        return encode_events(batch, self.data, self.max_length, False, ages=self.config.ranker_time)

    def network(self) -> nn.Module:
        """Builds the untrained network."""
        from honeyguide.models.joint_network import JointNetwork

        return JointNetwork(self.config, self.data)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``joint``."""
    register(Joint)
