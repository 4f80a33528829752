"""Defines the contract of a model plugin: a light class that serves, and a network that trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from honeyguide.sdk.data import DataSpec
    from honeyguide.sdk.history import HistoryBatch
    from honeyguide.sdk.items import ItemTable

__all__ = ["API_VERSION", "Arrays", "Model", "Network", "TensorSpec", "last_event"]

API_VERSION = 1
"""Version of this contract. A plugin says which it was written for."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Input of the user graph, or of the item graph."""

    name: str
    """The input's name in the graph."""
    dtype: str
    """Its numpy dtype, such as "int64"."""
    axes: tuple[str | int, ...]
    """Its axes: "batch" and "length" are free, a number is fixed."""


class Model(ABC):
    """Model plugin: names a model, prepares its input, builds its network.

    Importing and constructing a Model, and calling `inputs` and `encode`, never import torch: the server does that.
    """

    name: ClassVar[str]
    """The model's name: lower-case letters, digits, "_" and "-", starting with a letter."""
    api_version: ClassVar[int] = API_VERSION
    """The contract's version the class was written for."""
    Config: ClassVar[type[Any]]
    """A frozen dataclass, every field with a default, of str, int, float, bool or tuples of these."""
    fit_defaults: ClassVar[Mapping[str, Any]] = {}
    """Training options this model is better off with, by the names of `honeyguide.training.fit.options.FitOptions`,
    such as ``{"lr": 3e-3, "patience": 20}``. The user's own options win over them."""
    retrieves: ClassVar[bool] = True
    """Whether it finds items itself, by vectors of users and items or by `honeyguide.sdk.capabilities.Scores`. One that
    does not ranks what others retrieve: its network is a
    `honeyguide.sdk.capabilities.Ranks`, and needs none of `Network`'s methods; its Config has an int ``sources``, the
    number of retrievers, which training sets."""

    def __init__(self, config: Any, data: DataSpec) -> None:
        self.config = config
        self.data = data

    @property
    def max_length(self) -> int:
        """How many of a user's newest events `encode` uses."""
        return int(getattr(self.config, "max_length", 200))

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Describes what `encode` returns; the first axis of each is "batch"."""
        return (TensorSpec("tokens", "int64", ("batch", "length")),)

    def encode(self, batch: HistoryBatch) -> Arrays:
        """Turns histories, none of them empty, into the user graph's inputs. Numpy only: this is the hot path.

        Must give each user the same answer whatever the batch-mates, and must not change ``batch``.
        """
        return {"tokens": batch.tokens(self.max_length)}

    def item_inputs(self) -> tuple[TensorSpec, ...]:
        """Describes what `encode_items` returns: the first axis of each is "batch", all others are numbers.

        Empty where the network places no items; otherwise it is a `honeyguide.sdk.capabilities.PlacesItems`.
        """
        return ()

    def encode_items(self, items: ItemTable) -> Arrays:
        """Turns what is known of items, of the catalogue or new ones, into the item graph's inputs. Numpy, no torch.

        Must give each item the same answer whatever stands beside it, must cope with whatever is missing, and must not
        change ``items``. Raises `honeyguide.sdk.errors.NoEncoder` where texts need an encoder that is not installed.
        """
        raise NotImplementedError(f"model {self.name!r} places no items; {len(items)} were given")

    @abstractmethod
    def network(self) -> nn.Module:
        """Builds the untrained network, a `Network`. torch is imported inside."""


class Network(Protocol):
    """Network that retrieves: what the trainer and the exporter ask of the module that `Model.network` returns.

    ``batch`` holds the tensors of `Model.encode` by name: a token is catalogue row + 1 and PAD is 0, padding is on the
    left, the newest event is in the last column. B users, L positions, d dimensions, N items.

    What else a network can do, to observe, rank, step or explain, is a protocol each in `honeyguide.sdk.capabilities`.
    One that scores the whole catalogue by itself, `honeyguide.sdk.capabilities.Scores`, has no vectors.
    """

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, L, d]: the user vector as it was after each event."""
        ...

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d]: the user vectors, equal to the last of `positions` and cheaper."""
        ...

    def items(self) -> Tensor:
        """Returns [N, d]: row i is the vector of catalogue row i. A score is the inner product."""
        ...

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the scalar training loss.

        ``batch`` also holds "targets" [B, L]: each position's next token, or 0; and "earlier" [B, E]: tokens of the
        user's events before the first position, padded as ever, for networks that leave what was seen out of a softmax;
        and, where the training asks for it, "weights" [B, L]: what each target counts for, 1 on average.
        """
        ...


def last_event(model: Model, histories: HistoryBatch) -> Arrays:
    """Encodes the newest event of each history, none of them empty: a step graph's inputs beside "state".

    Every input's "length" axis is 1. The event before is encoded with it and then left out, so that what an input says
    of both, such as the time between them, is right.
    """
    arrays = model.encode(histories.newest(2))
    axes = {spec.name: spec.axes for spec in model.inputs()}
    return {
        name: array.take([-1], axes[name].index("length")) if "length" in axes[name] else array
        for name, array in arrays.items()
    }
