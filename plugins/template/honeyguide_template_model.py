"""Offers the model ``template_model``: a user is the last item and the mean of all items, mixed as training finds best.

The network stands in ``honeyguide_template_model_network.py``; serving imports this file alone, and never torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.sdk import Model, RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["TemplateModel", "TemplateModelOptions", "register_models"]


@dataclass(frozen=True)
class TemplateModelOptions:
    """Options of the model: `honeyguide train template_model … --option dimension=32`."""

    dimension: int = 64
    """Dimensions of user and item vectors, 1 or more."""
    max_length: int = 50
    """How many of a user's newest events count, 1 or more."""
    dropout: float = 0.1
    """Share of the history's item vectors' cells set to 0 while learning, 0 or more and below 1."""

    def __post_init__(self) -> None:
        for name in ("dimension", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; allowed: 0 or more and below 1")


class TemplateModel(Model):
    """Mix of the last item with the mean of the history."""

    name = "template_model"
    Config = TemplateModelOptions
    fit_defaults: ClassVar[Mapping[str, Any]] = {"lr": 3e-3}

    def network(self) -> nn.Module:
        """Builds the untrained network; torch is imported here, where training and export call it."""
        from honeyguide_template_model_network import TemplateModelNetwork

        return TemplateModelNetwork(self.config, self.data)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``template_model``."""
    register(TemplateModel)
