"""Offers the model ``cf``: collaborative filtering that needs no user parameters, with an evidence ranker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.models.content_based.item_content import ContentModel
from honeyguide.models.sequence.event_arrays import encode_events, event_inputs
from honeyguide.models.sequence.options import SEQUENCE_FIT, ItemOptions, RetrieverOptions
from honeyguide.sdk import Arrays, HistoryBatch, RegisterModel, TensorSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CfOptions", "CollaborativeFiltering", "register_models"]


@dataclass(frozen=True)
class CfOptions(ItemOptions, RetrieverOptions):
    """Options of ``cf``."""


class CollaborativeFiltering(ContentModel):
    """Collaborative filtering: a user is the sum of the history's items, each weighed by its recency.

    The formulas stand in `honeyguide.models.cf_network`.
    """

    name = "cf"
    Config = CfOptions
    fit_defaults: ClassVar[Mapping[str, Any]] = {
        **SEQUENCE_FIT,
        "epochs": 6,
        "final_epochs": 3,
        "patience": 6,
        "lr": 7e-3,
    }

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Describes the items' tokens, and the events' ages where the ranker reads them."""
        return event_inputs(self.data, False, ages=self.config.ranker_time)

    def encode(self, batch: HistoryBatch) -> Arrays:
        """Lays out the newest events' items."""
        return encode_events(batch, self.data, self.max_length, False, ages=self.config.ranker_time)

    def network(self) -> nn.Module:
        """Builds the untrained network."""
        from honeyguide.models.cf_network import CollaborativeNetwork

        return CollaborativeNetwork(self.config, self.data, self.known())


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``cf``."""
    register(CollaborativeFiltering)
