"""Turns a network's methods into ONNX graphs with free batch, length and candidate axes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from honeyguide.exporters.tracing import trace
from honeyguide.sdk import Arrays, Model
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.examples import example_histories
from honeyguide.sdk.model import last_event
from honeyguide.training.plugin_calls import plugin_call

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

__all__ = [
    "EXAMPLE_BATCH",
    "EXAMPLE_LENGTH",
    "as_tensors",
    "example_items",
    "export_explain_graph",
    "export_item_graph",
    "export_rank_graph",
    "export_step_graph",
    "export_user_graph",
]

_LENGTHS = (3, 5, 4)
EXAMPLE_BATCH, EXAMPLE_LENGTH = len(_LENGTHS), max(_LENGTHS)
"""The shape the graphs are traced with; it is none of those the proof uses."""
_CANDIDATES = 7  # differs from batch 3 and length 5, so that the exporter cannot take one axis for another

Axes = dict[int, Any]
"""Free axes of a tensor: `torch.export.Dim` by place."""


def export_user_graph(model: Model, network: nn.Module, path: Path) -> None:
    """Writes the graph of ``network.user``: the arrays of `Model.encode` → "user_vector" [batch, d].

    Where the network steps there is also "state" [batch, S], and the vector is made of it. Of a network that scores
    the catalogue it is the graph of ``network.scores`` → "item_scores" [batch, items].
    Raises `ExportError` where the network cannot be translated.
    """
    import torch

    class UserGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network: Any = network

        def forward(self, batch: dict[str, Tensor]) -> Any:
            return self.network.user(batch)

    class StateGraph(UserGraph):
        def forward(self, batch: dict[str, Tensor]) -> Any:
            state = self.network.state(batch)
            return self.network.vector(state), state

    class ScoresGraph(UserGraph):
        def forward(self, batch: dict[str, Tensor]) -> Any:
            return self.network.scores(batch)

    batch, shapes = _example(model)
    can = capabilities_of(network)
    graph, outputs = UserGraph(), ["user_vector"]
    if can.scores is not None:
        graph, outputs = ScoresGraph(), ["item_scores"]
    elif can.steps is not None:
        graph, outputs = StateGraph(), ["user_vector", "state"]
    trace(graph, {"batch": batch}, {"batch": shapes}, outputs, path)


def export_step_graph(model: Model, network: nn.Module, path: Path) -> None:
    """Writes the graph of ``network.step``: one event more → "next_state" [batch, S] and "user_vector" [batch, d].

    It takes "state" [batch, S] and the user graph's inputs for one event, as `last_event` makes them, of length 1.
    Raises `ExportError` where the network cannot be translated.
    """
    import torch

    class StepGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network: Any = network

        def forward(self, state: Tensor, batch: dict[str, Tensor]) -> Any:
            state = self.network.step(state, batch)
            return state, self.network.vector(state)

    batch, shapes = _example(model)
    calls: Any = network  # nn.Module types every attribute Tensor | Module
    with plugin_call(model, "state", batch), torch.no_grad():
        state = calls.state(batch)
    event = as_tensors(last_event(model, example_histories(model.data, _LENGTHS)))
    specs = {spec.name: spec.axes for spec in model.inputs()}
    once = {name: {i: dim for i, dim in axes.items() if specs[name][i] != "length"} for name, axes in shapes.items()}
    free = {"state": {0: _axis("batch")}, "batch": once}
    trace(StepGraph(), {"state": state, "batch": event}, free, ["next_state", "user_vector"], path)


def export_rank_graph(model: Model, network: nn.Module, path: Path, sources: int = 1) -> None:
    """Writes the graph of ``network.rank`` → "scores" [batch, n].

    Beside the user graph's inputs it takes "candidates" [batch, n] int64 tokens and "retrieval_scores"
    [batch, n, ``sources``] float32. Raises `ExportError` where the network cannot be translated.
    """
    import torch

    class RankGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network: Any = network

        def forward(self, batch: dict[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Any:
            return self.network.rank(batch, candidates, retrieval_scores)

    batch, shapes = _example(model)
    tokens, free = _example_candidates(model)
    scores = torch.linspace(1.0, 0.0, _CANDIDATES)[:, None].repeat(EXAMPLE_BATCH, 1, sources)
    trace(
        RankGraph(),
        {"batch": batch, "candidates": tokens, "retrieval_scores": scores},
        {"batch": shapes, "candidates": free, "retrieval_scores": free},
        ["scores"],
        path,
    )


def export_explain_graph(model: Model, network: nn.Module, path: Path) -> None:
    """Writes the graph of ``network.explain``: the user graph's inputs and "candidates" → "shares" [batch, n, length].

    Raises `ExportError` where the network cannot be translated.
    """
    import torch

    class ExplainGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network: Any = network

        def forward(self, batch: dict[str, Tensor], candidates: Tensor) -> Any:
            return self.network.explain(batch, candidates)

    batch, shapes = _example(model)
    tokens, free = _example_candidates(model)
    trace(
        ExplainGraph(), {"batch": batch, "candidates": tokens}, {"batch": shapes, "candidates": free}, ["shares"], path
    )


def export_item_graph(model: Model, network: nn.Module, path: Path) -> None:
    """Writes the graph of ``network.place``: the arrays of `Model.encode_items` → "item_vector" [batch, d].

    Raises `ExportError` where the network cannot be translated.
    """
    import torch

    class ItemGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network: Any = network

        def forward(self, batch: dict[str, Tensor]) -> Any:
            return self.network.place(batch)

    items = as_tensors(example_items(model, EXAMPLE_BATCH))
    trace(
        ItemGraph(), {"batch": items}, {"batch": {name: {0: _axis("batch")} for name in items}}, ["item_vector"], path
    )


def example_items(model: Model, count: int, seed: int = 0) -> Arrays:
    """Makes up what `Model.encode_items` gives of items, with no encoder and no catalogue: whole numbers are 0 or 1.

    The last item of several is one of which nothing is known: zeros.
    """
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {}
    for spec in model.item_inputs():
        shape = (count, *(int(axis) for axis in spec.axes[1:]))
        whole = np.issubdtype(np.dtype(spec.dtype), np.integer)
        values = rng.integers(0, 2, shape) if whole else rng.standard_normal(shape)
        arrays[spec.name] = values.astype(spec.dtype)
        if count > 1:
            arrays[spec.name][-1] = 0
    return arrays


def as_tensors(arrays: Arrays) -> dict[str, Tensor]:
    """Returns the arrays of `Model.encode` as torch tensors that share their memory."""
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _example(model: Model) -> tuple[dict[str, Tensor], dict[str, Axes]]:
    """Encodes a small batch of every column the data has; no axis is 1 and no two are equal, so all stay free."""
    histories = example_histories(model.data, _LENGTHS)
    with plugin_call(model, "encode", histories):
        batch = as_tensors(model.encode(histories))
    specs = {spec.name: spec for spec in model.inputs()}
    if set(specs) != set(batch):
        raise ExportError(
            f"model {model.name!r}: inputs() names {sorted(specs)}, encode() returns {sorted(batch)}; they must agree"
        )
    names = {"length": _axis("length", model.max_length), "batch": _axis("batch")}
    return batch, {
        name: {place: names[axis] for place, axis in enumerate(specs[name].axes) if isinstance(axis, str)}
        for name in batch
    }


def _example_candidates(model: Model) -> tuple[Tensor, Axes]:
    """Returns (batch, n) tokens and their free axes."""
    import torch

    tokens = torch.arange(EXAMPLE_BATCH * _CANDIDATES).reshape(EXAMPLE_BATCH, _CANDIDATES) % model.data.items + 1
    return tokens, {0: _axis("batch"), 1: _axis("candidates")}


def _axis(axis: str, largest: int | None = None) -> Any:
    """Names a free axis of a graph."""
    import torch

    return torch.export.Dim(axis, max=largest)
