"""Stands in for the retrievers of a model that only ranks: the last one knows the checkerboard, the others guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from honeyguide.sdk import DataSpec, Model
from honeyguide.sdk.host import PluginHost

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["StandIn", "host_with", "stand_ins"]


@dataclass(frozen=True)
class _Config:
    place: int = 0
    """Which of the sources it is."""
    knows: bool = False
    """Whether it knows that two places on is always next."""


class StandIn(Model):
    """Retriever by the last item alone, which needs no training."""

    name = "stand-in"
    Config = _Config

    def network(self) -> nn.Module:
        """Builds the network."""
        import torch

        count, config = self.data.items, self.config
        draw = torch.Generator().manual_seed(config.place)
        after = torch.eye(count) if config.knows else torch.randn(count, count, generator=draw) / count**0.5
        before = torch.roll(3 * torch.eye(count), 2, 1) if config.knows else torch.randn(count, count, generator=draw)

        class Network(torch.nn.Module):
            before: Tensor
            after: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("before", torch.cat([torch.zeros(1, count), before]))  # by token
                self.register_buffer("after", after)

            def user(self, batch: Mapping[str, Tensor]) -> Tensor:
                return self.before[batch["tokens"][:, -1]]

            def items(self) -> Tensor:
                return self.after

        return Network()


def stand_ins(count: int, data: DataSpec) -> list[tuple[Model, Any]]:
    """Returns that many models with their networks."""
    models = [StandIn(_Config(place, knows=place == count - 1), data) for place in range(count)]
    return [(model, model.network().eval()) for model in models]


def host_with(host: PluginHost) -> PluginHost:
    """Returns a host that offers the stand-in too."""
    owners = {name: host.owner(name) for name in host.models}
    return PluginHost(host.plugins, {**host.models, StandIn.name: StandIn}, host.rules, owners)
