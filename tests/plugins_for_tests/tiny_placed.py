"""Offers the tiny mean with a place for new items: an item lies where the vector "image" that it brings says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tiny_mean import TinyMean

from honeyguide.sdk import Arrays, ItemTable, RegisterModel, TensorSpec, hookimpl
from honeyguide.sdk.errors import NoEncoder

if TYPE_CHECKING:
    from torch import nn

__all__ = ["TinyPlacedByImage", "register_models"]


class TinyPlacedByImage(TinyMean):
    """Places items by a vector as wide as its own; a text "blurb" would need an encoder that nobody has."""

    name = "tiny_placed"

    def item_inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("image", "float32", ("batch", self.config.width)),)

    def encode_items(self, items: ItemTable) -> Arrays:
        if any(items.texts.get("blurb", ())):
            raise NoEncoder("the text of a blurb needs an encoder that is not installed")
        image = items.vectors.get("image", np.zeros((len(items), self.config.width)))
        return {"image": np.nan_to_num(image).astype(np.float32)}

    def network(self) -> nn.Module:
        network = super().network()
        type(network).place = lambda _, items: items["image"] * 1.0  # type: ignore[attr-defined]
        return network


@hookimpl
def register_models(register: RegisterModel) -> None:
    register(TinyPlacedByImage)
