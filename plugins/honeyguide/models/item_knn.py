"""Offers the model ``item_knn``: what is similar to the items of the history, by who met both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from honeyguide.models.knn.ratings import RatingModel, RatingOptions
from honeyguide.models.sequence.options import check_at_least
from honeyguide.sdk import RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ItemKnn", "ItemKnnOptions", "register_models"]


@dataclass(frozen=True)
class ItemKnnOptions(RatingOptions):
    """Options of ``item_knn``."""

    recency: float = 0.5
    """What an event still counts for with each newer one, above 0 and at most 1; 1: all count alike."""
    neighbours: int = 100
    """Most similar items that are kept of each item, 1 or more; at most 10 million in all, so fewer than 100 beyond
    100,000 items."""
    shrinkage: float = 10.0
    """Doubt, added below the fraction of each similarity: what few users share counts for less; 0 or more."""
    mean: bool = False
    """Whether a score is the mean of the ratings, weighted by similarity, which suits ratings that differ; otherwise it
    is their weighted sum, which suits events."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, ("neighbours",))
        check_at_least(self, 0, ("shrinkage",))


class ItemKnn(RatingModel):
    """Items nearest to those of the history, by the cosine of who met them; it counts and learns nothing.

    The formulas stand in `honeyguide.models.item_knn_network`.
    """

    name = "item_knn"
    Config = ItemKnnOptions

    def network(self) -> nn.Module:
        """Builds the network, which knows nothing yet."""
        from honeyguide.models.item_knn_network import ItemKnnNetwork

        return ItemKnnNetwork(self.config, self.data)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``item_knn``."""
    register(ItemKnn)
