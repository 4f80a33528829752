"""Offers the model ``user_knn``: what the users most like this one met, for whoever comes with a history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from honeyguide.models.knn.ratings import RatingModel, RatingOptions
from honeyguide.models.sequence.options import check_at_least
from honeyguide.sdk import RegisterModel, hookimpl

if TYPE_CHECKING:
    from torch import nn

__all__ = ["UserKnn", "UserKnnOptions", "register_models"]


@dataclass(frozen=True)
class UserKnnOptions(RatingOptions):
    """Options of ``user_knn``."""

    recency: float = 0.7
    """What an event still counts for with each newer one, above 0 and at most 1; 1: all count alike."""
    neighbours: int = 100
    """Most similar users whose items are recommended, 1 or more."""
    shrinkage: float = 0.0
    """Doubt, added below the fraction of each similarity: users with few items count for less; 0 or more."""
    mean: bool = False
    """Whether a score is the mean of the neighbours' ratings, weighted by similarity, which suits ratings that differ;
    otherwise it is their weighted sum, which suits events."""
    users: int = 10_000
    """Training users that are kept, those who came last where the data has times, else drawn evenly; 1 or more."""
    kept: int = 200
    """Newest items that are kept of each of them, 1 or more. A bundle has 8 bytes for each, twice."""
    listed: int = 1_000
    """Users among whom neighbours are looked for, of each item of the history: so many of those who met it; 1 or more,
    at most 8 million for all items together, so fewer than 1,000 beyond 8,000 items."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, ("neighbours", "users", "kept", "listed"))
        check_at_least(self, 0, ("shrinkage",))


class UserKnn(RatingModel):
    """Items of the users nearest to this one, by the cosine of what both met; it counts and learns nothing.

    The formulas stand in `honeyguide.models.user_knn_network`.
    """

    name = "user_knn"
    Config = UserKnnOptions

    def network(self) -> nn.Module:
        """Builds the network, which knows nobody yet."""
        from honeyguide.models.user_knn_network import UserKnnNetwork

        return UserKnnNetwork(self.config, self.data)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Registers ``user_knn``."""
    register(UserKnn)
