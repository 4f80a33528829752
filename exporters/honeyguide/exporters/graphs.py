"""Turns a network's two methods into ONNX graphs with free batch, length and candidate axes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from honeyguide.sdk import Arrays, DataSpec, HistoryBatch, Model
from honeyguide.sdk.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["EXAMPLE_BATCH", "EXAMPLE_LENGTH", "OPSET", "as_tensors", "export_rank_graph", "export_user_graph"]

OPSET = 20
"""Newest ONNX operator set that torch translates to without a conversion pass."""
_LENGTHS = (3, 5, 4)
EXAMPLE_BATCH, EXAMPLE_LENGTH = len(_LENGTHS), max(_LENGTHS)
"""The shape the graphs are traced with; it is none of those the proof uses."""
_CANDIDATES = 7  # differs from batch 3 and length 5, so that the exporter cannot take one axis for another
_EMBED_BELOW = 1_900_000_000  # bytes; a protobuf file ends at 2 GiB, larger weights go to a file beside the graph


def export_user_graph(model: Model, network: nn.Module, path: Path) -> None:
    """Writes the graph of ``network.user``: the arrays of `Model.encode` → "user_vector" [batch, d].

    Raises `ExportError` where the network cannot be translated.
    """
    import torch

    class UserGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, batch: dict[str, torch.Tensor]) -> Any:
            return self.network.user(batch)  # type: ignore[operator]  # nn.Module types every attribute Tensor | Module

    batch, shapes = _example(model)
    _export(UserGraph(), {"batch": batch}, {"batch": shapes}, [*batch], "user_vector", path)


def export_rank_graph(model: Model, network: nn.Module, path: Path) -> None:
    """Writes the graph of ``network.rank`` → "scores" [batch, n].

    Beside the user graph's inputs it takes "candidates" [batch, n] int64 tokens and "retrieval_scores" [batch, n, 1]
    float32. Raises `ExportError` where the network cannot be translated.
    """
    import torch

    class RankGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(
            self, batch: dict[str, torch.Tensor], candidates: torch.Tensor, retrieval_scores: torch.Tensor
        ) -> Any:
            return self.network.rank(batch, candidates, retrieval_scores)  # type: ignore[operator]  # as in UserGraph

    batch, shapes = _example(model)
    rows = len(_LENGTHS)
    tokens = torch.arange(rows * _CANDIDATES).reshape(rows, _CANDIDATES) % model.data.items + 1
    scores = torch.linspace(1.0, 0.0, _CANDIDATES).expand(rows, _CANDIDATES)[..., None].contiguous()
    free = {0: _axis("batch"), 1: _axis("candidates")}
    _export(
        RankGraph(),
        {"batch": batch, "candidates": tokens, "retrieval_scores": scores},
        {"batch": shapes, "candidates": free, "retrieval_scores": free},
        [*batch, "candidates", "retrieval_scores"],
        "scores",
        path,
    )


def as_tensors(arrays: Arrays) -> dict[str, Any]:
    """Returns the arrays of `Model.encode` as torch tensors that share their memory."""
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _example(model: Model) -> tuple[dict[str, Any], dict[str, dict[int, Any]]]:
    """Encodes a small batch of every column the data has; no axis is 1 and no two are equal, so all stay free."""
    batch = as_tensors(model.encode(_histories(model.data)))
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


def _axis(axis: str, largest: int | None = None) -> Any:
    """Names a free axis of a graph."""
    import torch

    return torch.export.Dim(axis, max=largest)


def _histories(data: DataSpec) -> HistoryBatch:
    events = sum(_LENGTHS)
    return HistoryBatch(
        items=np.arange(events, dtype=np.int32) % data.items,
        offsets=np.cumsum([0, *_LENGTHS]),
        time_ms=np.arange(events, dtype=np.int64) * 60_000 if data.has_time else None,
        features={scaler.name: np.linspace(-1, 1, events, dtype=np.float32) for scaler in data.features},
        event_type=np.ones(events, np.int32) if data.event_types else None,
        now_ms=np.full(len(_LENGTHS), events * 60_000, np.int64) if data.has_time else None,
    )


def _export(
    graph: nn.Module, args: dict[str, Any], shapes: dict[str, Any], inputs: list[str], output: str, path: Path
) -> None:
    import torch

    weights = sum(t.numel() * t.element_size() for t in graph.state_dict().values())
    try:
        with torch.no_grad(), _tamed_exporter():
            program = torch.onnx.export(
                graph.eval(),
                kwargs=args,  # by name: a dict at the end of positional arguments would be taken for these
                dynamo=True,
                input_names=inputs,
                output_names=[output],
                dynamic_shapes=shapes,
                opset_version=OPSET,
                verbose=False,
            )
            assert program is not None  # it is None only with the exporter that dynamo replaced
            program.save(path, external_data=weights >= _EMBED_BELOW)
    except Exception as error:  # boundary: torch translates a plugin's code, which may raise anything
        raise ExportError(
            f"{path.name} cannot be made from the network: {type(error).__name__}: {_first_lines(error)}; "
            "likely cause: Python control flow over tensor values, an operator without an ONNX form, "
            "or an axis (batch, length ≤ max_length, candidates) that the network fixes"
        ) from error
    _check_free(program.model.graph, {**shapes.get("batch", {}), **shapes}, inputs, path.name)


def _check_free(graph: Any, shapes: Mapping[str, Mapping[int, Any]], inputs: list[str], name: str) -> None:
    """Refuses a graph with a fixed axis: on a conflict torch fixes the axis to the example's size and says nothing."""
    found = {value.name: value.shape for value in graph.inputs}
    for tensor in inputs:
        if tensor not in found:
            raise ExportError(f"{name} lost its input {tensor!r}: the network must take every input as given")
        for place, axis in shapes[tensor].items():
            if isinstance(size := found[tensor][place], int):
                raise ExportError(
                    f"{name}: the network fixes axis {axis.__name__!r} of {tensor!r} to {size}; it must stay free: "
                    "look for a number read from a shape, such as int(x.shape[1]) or a Python loop over it"
                )


def _first_lines(error: BaseException) -> str:
    """Finds what went wrong below the exporter's own report of its attempts."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300]


@contextmanager
def _tamed_exporter() -> Iterator[None]:
    """Works around a fault of torch 2.13's exporter and silences what it says on every run of its own accord."""
    import torch

    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    with warnings.catch_warnings():
        for message, category in _NOISE.items():
            warnings.filterwarnings("ignore", message, category)
        # On entering and leaving its own decomposition of GRU and LSTM, torch 2.13 forgets to clear these caches, and
        # the second export of a process fixes the length.
        for operator in (torch.ops.aten.gru.input, torch.ops.aten.lstm.input):
            operator._dispatch_cache.clear()  # noqa: SLF001  # there is no public way
        # It says that torchvision's operators are skipped; no recommender needs torchvision.
        registration.setLevel(logging.ERROR)
        try:
            yield
        finally:
            registration.setLevel(level)


_NOISE: Mapping[str, type[Warning]] = {
    # The two graphs share the axes on purpose: one name for the batch of all inputs.
    r"# The axis name: \w+ will not be used": UserWarning,
    # nn.GRU and nn.LSTM rebuild their list of weights when traced; the weights themselves are parameters.
    r"The tensor attributes? .*_flat_weights": UserWarning,
    # torch calls these deprecated functions of its own.
    r"_check_is_size will be removed": FutureWarning,
    r"`isinstance\(treespec, LeafSpec\)` is deprecated": FutureWarning,
}
