"""Checks what a network can do beside the required methods: rank, step, explain, place (`observing` has the fifth)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.conformance.checks.network import ATOL, check_close, every_candidate, in_numpy
from honeyguide.conformance.data import PLAIN, SPECS, blank_table, item_table
from honeyguide.conformance.subject import Subject
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import ConformanceError
from honeyguide.sdk.examples import example_histories

__all__ = [
    "candidates_stand_alone",
    "explanations_are_shares",
    "items_are_placed",
    "neighbours_are_others",
    "stepping_equals_encoding_again",
]

_USERS = 17
Floats = NDArray[np.float32]


def candidates_stand_alone(subject: Subject) -> str:
    """A ranker scores a candidate alike in any place of the list, and whatever padding stands in the list."""
    if not capabilities_of(subject.network(PLAIN)).ranks:
        return "its network has no rank"
    for data, spec in SPECS.items():
        network, batch = subject.network(spec), subject.encode(spec, example_histories(spec, [1, 4, subject.longest]))
        tokens, scores = every_candidate(subject, spec, 3)
        plain = in_numpy(network.rank, batch, tokens, scores)
        turned = in_numpy(network.rank, batch, tokens.flip(1), scores.flip(1))[:, ::-1]
        check_close(
            plain,
            turned,
            f"rank scores a candidate by its place in the list (with {data}), but the list comes in any order; "
            "take the place from retrieval_scores",
        )
        pad = tokens[:, :1] * 0
        padded = in_numpy(network.rank, batch, _beside(tokens, pad), _beside(scores, scores[:, :1] * 0))[:, :-1]
        check_close(
            plain,
            padded,
            f"rank scores candidates otherwise when the list ends in padding (with {data}); "
            "leave candidates of token 0 out of whatever is computed over the list",
        )
    return ""


def stepping_equals_encoding_again(subject: Subject) -> str:
    """A state that goes on event by event gives the user vector of the whole history, to 1e-4."""
    from honeyguide.exporters.forward import torch_user
    from honeyguide.exporters.stepping import prove_steps

    if not capabilities_of(subject.network(PLAIN)).steps:
        return "its network does not step"
    for spec in SPECS.values():
        network = subject.network(spec)
        users = example_histories(spec, [1 + i % subject.longest for i in range(_USERS)])
        prove_steps(subject.model(spec), torch_user(network), _stepper(network), users)
    return ""


def neighbours_are_others(subject: Subject) -> str:
    """`neighbours` lists for each item other items, each once, the most similar first."""
    from honeyguide.exporters.neighbours import item_neighbours

    can = capabilities_of(subject.network(PLAIN))
    if not can.scores or not can.relates:
        return "its network has no neighbours of items"
    for spec in SPECS.values():
        item_neighbours(subject.network(spec), subject.model(spec))
    return ""


def explanations_are_shares(subject: Subject) -> str:
    """`explain` gives each event of the history its share of a candidate: 0 or more, 1 together, 0 at padding."""
    if not capabilities_of(subject.network(PLAIN)).explains:
        return "its network does not explain"
    for data, spec in SPECS.items():
        lengths = [1, 3, subject.longest]
        network, batch = subject.network(spec), subject.encode(spec, example_histories(spec, lengths))
        tokens, _ = every_candidate(subject, spec, 3)
        shares = in_numpy(network.explain, batch, tokens)
        expected = (3, spec.items, subject.longest)
        if shares.shape != expected:
            raise ConformanceError(f"explain returns shape {shares.shape}; users, candidates, events are {expected}")
        padding = np.arange(subject.longest) < subject.longest - np.array(lengths)[:, None, None]
        padding = np.broadcast_to(padding, expected)
        if not (shares >= 0).all() or (shares[padding] > ATOL).any() or not np.allclose(shares.sum(2), 1, atol=1e-4):
            raise ConformanceError(
                f"the shares of explain are {shares.min():.3g} to {shares.max():.3g}, their sums "
                f"{shares.sum(2).min():.3g} to {shares.sum(2).max():.3g}, and at padding they are up to "
                f"{shares[padding].max(initial=0):.3g} (with {data}); "
                "they must be 0 or more, sum to 1 over the events and be 0 at padding: mask, then softmax"
            )
    return ""


def items_are_placed(subject: Subject) -> str:
    """`place` gives each item a vector of the items' space, whatever is missing of it and whatever stands beside it."""
    from honeyguide.exporters.graphs import as_tensors

    if not subject.model(PLAIN).item_inputs():
        return "its model has no item_inputs"
    for data, spec in SPECS.items():
        model, network = subject.model(spec), subject.network(spec)
        if capabilities_of(network).places is None:
            raise ConformanceError("the model has item_inputs, and its network no place: write it, or return ()")
        axes = {given.name: (given.dtype, given.axes[1:]) for given in model.item_inputs()}
        dimension = in_numpy(network.items).shape[1]
        for table in (item_table(), blank_table()):
            arrays = model.encode_items(table)
            made = {name: (str(array.dtype), array.shape[1:]) for name, array in arrays.items()}
            if made != axes or any(len(array) != len(table) for array in arrays.values()):
                raise ConformanceError(
                    f"encode_items gives {made} (with {data}); item_inputs says {axes}, for each item"
                )
            placed = in_numpy(network.place, as_tensors(arrays))
            if placed.shape != (len(table), dimension):
                raise ConformanceError(f"place returns shape {placed.shape}; items() has {(len(table), dimension)}")
            if not np.isfinite(placed).all():
                raise ConformanceError(
                    f"place gives vectors that are not finite (with {data}); look at what is missing"
                )
            one = {name: array[3:4] for name, array in arrays.items()}
            alone = in_numpy(network.place, as_tensors(one))
            check_close(alone, placed[3:4], f"place gives an item another vector where it stands alone (with {data})")
    return ""


def _beside(left: Any, right: Any) -> Any:
    import torch

    return torch.cat([left, right], 1)


def _stepper(network: Any) -> Callable[[Mapping[str, Any]], dict[str, Floats]]:
    """Wraps ``network.step`` as the step graph."""
    from honeyguide.exporters.graphs import as_tensors

    def step(inputs: Mapping[str, Any]) -> dict[str, Floats]:
        event = as_tensors(inputs)
        state = network.step(event.pop("state"), event)
        return {"next_state": in_numpy(lambda: state), "user_vector": in_numpy(network.vector, state)}

    return step
