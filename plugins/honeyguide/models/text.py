"""Offers the model ``text``: items by what their texts mean, users by the texts of their history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from honeyguide.models.sequence.model import SequenceModel
from honeyguide.models.sequence.options import SEQUENCE_FIT, SequenceOptions
from honeyguide.sdk import RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PooledOptions", "Text", "TextOptions", "register_models"]


@dataclass(frozen=True)
class PooledOptions(SequenceOptions):
    """Options of models whose items are nothing but what is known of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.items:
            raise ValueError("items is empty; allowed: text, words, content, or several with a comma")


@dataclass(frozen=True)
class TextOptions(PooledOptions):
    """Options of ``text``."""

    items: tuple[str, ...] = ("text",)
    """What items are known by: "text", a text encoder's reading of title, categories and ``item_columns``; "words",
    the words of these; "content", attributes, numbers and brought vectors; or several, with a comma."""


class Text(SequenceModel):
    """Content-based filtering by meaning.

    See `honeyguide.models.content_based.pooled_network`.
    """

    name = "text"
    Config: ClassVar[type[Any]] = TextOptions
    fit_defaults: ClassVar[Mapping[str, Any]] = {**SEQUENCE_FIT, "epochs": 10, "lr": 4e-3}

    def network(self) -> nn.Module:
        """Builds the untrained network."""
        from honeyguide.models.content_based.pooled_network import PooledNetwork

        known = self.known()
        assert known is not None  # the options see to it
        return PooledNetwork(self.config, self.data, known)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``text``."""
    register(Text)
