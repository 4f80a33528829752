"""Offers the model ``ease``: the best linear guess of each item from all others, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from honeyguide.models.knn.ratings import RatingModel, RatingOptions
from honeyguide.sdk import DataSpec, RegisterModel, hookimpl
from honeyguide.sdk.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Ease", "EaseOptions", "register_models"]

_MOST_ITEMS = 20_000


@dataclass(frozen=True)
class EaseOptions(RatingOptions):
    """Options of ``ease``."""

    penalty: float = 500.0
    """Ridge penalty λ on the weights, above 0: the more, the less is read into few users."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.penalty > 0:
            raise ValueError(f"penalty is {self.penalty}; allowed: above 0")


class Ease(RatingModel):
    """Linear autoencoder over the items, solved at once.

    See `honeyguide.models.ease_network`.

    It holds a weight for each pair of items: 47 MB of 3,416 items, 1.6 GB of the 20,000 that it takes at most.
    """

    name = "ease"
    Config = EaseOptions

    def __init__(self, config: Any, data: DataSpec) -> None:
        """Raises `ConfigError` for catalogues of more than 20,000 items."""
        super().__init__(config, data)
        if data.items > _MOST_ITEMS:
            raise ConfigError(
                f"ease holds a weight for each pair of items, and the data has {data.items:,} items; allowed: at most "
                f"{_MOST_ITEMS:,}; take item_knn, which keeps the strongest pairs alone"
            )

    def network(self) -> nn.Module:
        """Builds the network, all of whose weights are 0."""
        from honeyguide.models.ease_network import EaseNetwork

        return EaseNetwork(self.config, self.data)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``ease``."""
    register(Ease)
