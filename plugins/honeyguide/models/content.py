"""Offers the model ``content``: items by attributes, numbers and vectors that the user brings, whatever they are of."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.models.text import PooledOptions, Text
from honeyguide.sdk import RegisterModel, hookimpl

__all__ = ["Content", "ContentOptions", "register_models"]


@dataclass(frozen=True)
class ContentOptions(PooledOptions):
    """Options of ``content``."""

    items: tuple[str, ...] = ("content",)
    """What items are known by: "content", attributes, numbers and brought vectors; "text", a text encoder's reading of
    title, categories and ``item_columns``; "words", the words of these; or several, with a comma."""


class Content(Text):
    """Content-based filtering by attributes.

    See `honeyguide.models.content_based.pooled_network`.
    """

    name = "content"
    Config = ContentOptions


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``content``."""
    register(Content)
