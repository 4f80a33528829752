"""Offers the model ``cf``: collaborative filtering that needs no user parameters, with an evidence ranker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.models.sequence.options import SEQUENCE_FIT, RetrieverOptions
from honeyguide.sdk import Model, RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CollaborativeFiltering", "register_models"]


class CollaborativeFiltering(Model):
    """Collaborative filtering: a user is the sum of the history's items, each weighed by its recency.

    The formulas stand in `honeyguide.models.cf_network`.
    """

    name = "cf"
    Config = RetrieverOptions
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
