"""What a network can do is found by one function, whole or not at all."""

from typing import Any

import pytest
import torch

from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import PluginError

METHODS = {
    "observes": ("observe",),
    "ranks": ("rank", "ranking_module"),
    "scores": ("scores",),
    "relates": ("neighbours",),
    "steps": ("state", "step", "vector"),
    "explains": ("explain",),
    "places": ("place",),
}


def network_with(*methods: str) -> Any:
    return type("Made", (), dict.fromkeys(methods, lambda self: None))()


def test_a_network_of_the_required_methods_alone_can_do_nothing_more() -> None:
    can = capabilities_of(network_with("positions", "user", "items", "loss"))
    assert {getattr(can, name) for name in METHODS} == {None}


@pytest.mark.parametrize("capability", METHODS)
def test_a_network_is_what_has_all_methods(capability: str) -> None:
    network = network_with(*METHODS[capability])
    can = capabilities_of(network)
    assert {name: getattr(can, name) for name in METHODS} == {**dict.fromkeys(METHODS), capability: network}


def test_a_submodule_counts_as_a_method() -> None:
    network = torch.nn.Module()
    network.state = network.step = lambda _: None  # type: ignore[assignment]  # any callable
    network.vector = torch.nn.Linear(2, 2)
    assert capabilities_of(network).steps is not None


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (("state", "step"), "has state and step and lacks vector; a network that steps has state, step, vector"),
        (("rank",), "has rank and lacks ranking_module; a network that ranks has rank, ranking_module"),
    ],
)
def test_half_of_a_capability_is_refused_with_what_is_missing(methods: tuple[str, ...], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        capabilities_of(network_with(*methods))


def test_vectors_beside_scores_are_refused() -> None:
    with pytest.raises(PluginError, match=r"has scores and user and items: it either scores .* or has vectors"):
        capabilities_of(network_with("scores", "user", "items"))
