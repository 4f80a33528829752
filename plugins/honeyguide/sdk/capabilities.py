"""Lists what a network can do beside the methods of `honeyguide.sdk.Network`, a protocol each, and finds it.

B users, L positions, d dimensions, n candidates, N items; ``batch`` is that of `honeyguide.sdk.Network`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from honeyguide.sdk.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from honeyguide.sdk.history import HistoryBatch
    from honeyguide.sdk.items import ItemTable

__all__ = [
    "Capabilities",
    "Explains",
    "Observes",
    "PlacesItems",
    "Ranks",
    "Relates",
    "Scores",
    "Steps",
    "capabilities_of",
    "ranking_parameters",
]


class Observes(Protocol):
    """Network that looks at the training data as a whole, for counts, popularity or vectors of items."""

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:
        """Sees all training histories and the catalogue, once before each fit.

        What it keeps lies in buffers, of shapes that the config and the data spec fix, so that it travels with the
        weights. Called again with other histories, it forgets the former ones. It changes neither argument.
        """
        ...


class Ranks(Protocol):
    """Network that scores candidates which were retrieved, looking at candidate and history together."""

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        """Returns [B, n] scores, higher is better.

        Args:
            batch: encoded histories.
            candidates: [B, n] int64 tokens in any order; 0 is padding, whose score means nothing.
            retrieval_scores: [B, n, sources] float32: what each retriever says, 0 at padding.
        """
        ...

    def ranking_module(self) -> nn.Module | None:
        """Returns the submodule that is fitted on candidate lists, while all else is frozen; the same at every call.

        The retriever's training leaves its parameters alone. None where ranking has nothing to fit.
        """
        ...


class Scores(Protocol):
    """Network that scores the whole catalogue in its graph, in place of vectors of users and items.

    It needs none of `honeyguide.sdk.Network`'s methods but ``loss``, and that only where it has parameters to fit.
    """

    def scores(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, N]: column i is the score of catalogue row i, higher is better; always finite."""
        ...


class Relates(Protocol):
    """Network that `Scores` and says which items are alike, so that a server without item vectors can."""

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """Returns each item's n neighbours by catalogue row, itself not among them.

        [N, n] integer tokens, best first, 0 where there are fewer; and their [N, n] similarities, descending.
        """
        ...


class Steps(Protocol):
    """Network whose state goes on event by event, so that a server need not read a history twice.

    ``user(batch)`` equals ``vector(state(batch))``.
    """

    def state(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, S]: what a history comes to."""
        ...

    def step(self, state: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, S]: the state after one more event, which is all that ``batch`` holds, without padding."""
        ...

    def vector(self, state: Tensor) -> Tensor:
        """Returns [B, d]: the user vector that a state stands for."""
        ...


class Explains(Protocol):
    """Network that says which events carried a candidate."""

    def explain(self, batch: Mapping[str, Tensor], candidates: Tensor) -> Tensor:
        """Returns [B, n, L]: shares of 0 or more that sum to 1 over the real events, 0 at padding."""
        ...


class PlacesItems(Protocol):
    """Network that makes an item's vector of what is known of it, so that an item that nobody has met has one too.

    It does so where its model's `item_inputs` is not empty.
    """

    def place(self, items: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d]: vectors in the space of `honeyguide.sdk.Network.items`.

        ``items`` holds the tensors of `honeyguide.sdk.Model.encode_items` by name, for B items.
        """
        ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Network seen through each of the protocols; None where it lacks one."""

    observes: Observes | None
    ranks: Ranks | None
    scores: Scores | None
    relates: Relates | None
    steps: Steps | None
    explains: Explains | None
    places: PlacesItems | None


def capabilities_of(network: object) -> Capabilities:
    """Finds what a network can do, by its methods' names.

    Raises `PluginError` where it has some methods of a protocol and lacks others, or scores and has vectors as well.
    """
    scores = _seen_as(network, Scores)
    if scores is not None and (both := [name for name in _OF_VECTORS if callable(getattr(network, name, None))]):
        raise PluginError(
            f"the network has scores and {' and '.join(both)}: it either scores the whole catalogue or has vectors; "
            "leave one of them out, or give it another name"
        )
    return Capabilities(
        observes=_seen_as(network, Observes),
        ranks=_seen_as(network, Ranks),
        scores=scores,
        relates=_seen_as(network, Relates),
        steps=_seen_as(network, Steps),
        explains=_seen_as(network, Explains),
        places=_seen_as(network, PlacesItems),
    )


def ranking_parameters(network: object) -> list[nn.Parameter]:
    """Returns the parameters that are fitted on candidate lists; none where ranking has none, or there is no ranking.

    Raises `PluginError` as `capabilities_of` does.
    """
    ranks = capabilities_of(network).ranks
    module = ranks.ranking_module() if ranks is not None else None
    return [] if module is None else [parameter for parameter in module.parameters() if parameter.requires_grad]


_METHODS: Mapping[type[Any], tuple[str, ...]] = {
    protocol: tuple(name for name in vars(protocol) if not name.startswith("_"))
    for protocol in (Observes, Ranks, Scores, Relates, Steps, Explains, PlacesItems)
}
_OF_VECTORS = ("positions", "user", "items", "step", "place")
"""Methods of networks whose users and items are vectors."""


def _seen_as(network: object, protocol: type[Any]) -> Any:
    """Returns the network where it has every method of a protocol, None where it has none."""
    methods = _METHODS[protocol]
    # A submodule counts too, since torch's modules are called like methods; `isinstance` would miss it.
    missing = [name for name in methods if not callable(getattr(network, name, None))]
    if not missing:
        return network
    if len(missing) < len(methods):
        present = [name for name in methods if name not in missing]
        raise PluginError(
            f"the network has {' and '.join(present)} and lacks {' and '.join(missing)}; a network that "
            f"{protocol.__name__.lower()} has {', '.join(methods)}, any other has none of them: "
            "write what is missing, or give the rest other names"
        )
    return None
