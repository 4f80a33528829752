"""Runs a graph, or the network's method it was made from, on numpy arrays: the two sides of every proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.exporters.graphs import as_tensors
from honeyguide.sdk import Arrays, HistoryBatch, Model
from honeyguide.sdk.capabilities import capabilities_of

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Forward", "open_session", "torch_explain", "torch_place", "torch_rank", "torch_user", "user_vectors"]

_CHUNK = 256  # users at a time

Floats = NDArray[np.float32]
Forward = Callable[[Mapping[str, Any]], dict[str, Floats]]
"""Maps a graph's inputs by name to its outputs by name."""


def open_session(path: Path) -> Forward:
    """Opens a graph on ONNX Runtime's CPU provider: the proof must not depend on the machine's accelerator."""
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]  # some builds ship types, this one does not

    # The GPU build warns once, on loading, that it finds no GPU; here none is asked for.
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # torch wants the cores in between
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(outputs, session.run(outputs, dict(inputs)), strict=True))


def torch_user(network: nn.Module) -> Forward:
    """Wraps ``network.user``, with ``network.state`` where it steps, or else ``network.scores``, as the user graph."""
    calls: Any = network  # nn.Module types every attribute Tensor | Module
    can = capabilities_of(network)
    if can.scores is not None:
        return _in_torch(lambda batch: {"item_scores": calls.scores(batch)})
    if can.steps is not None:
        return _in_torch(lambda batch: {"user_vector": calls.user(batch), "state": calls.state(batch)})
    return _in_torch(lambda batch: {"user_vector": calls.user(batch)})


def torch_rank(network: nn.Module) -> Forward:
    """Wraps ``network.rank`` as the rank graph."""
    calls: Any = network

    def rank(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        candidates, scores = batch.pop("candidates"), batch.pop("retrieval_scores")
        return {"scores": calls.rank(batch, candidates, scores)}

    return _in_torch(rank)


def torch_explain(network: nn.Module) -> Forward:
    """Wraps ``network.explain`` as the explain graph."""
    calls: Any = network

    def explain(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        candidates = batch.pop("candidates")
        return {"shares": calls.explain(batch, candidates)}

    return _in_torch(explain)


def torch_place(network: nn.Module) -> Forward:
    """Wraps ``network.place`` as the item graph."""
    calls: Any = network
    return _in_torch(lambda items: {"item_vector": calls.place(items)})


def user_vectors(model: Model, user: Forward, histories: HistoryBatch) -> Floats:
    """Returns (users, d) vectors, a bounded batch at a time."""
    users = np.arange(len(histories))
    chunks = [users[start : start + _CHUNK] for start in range(0, len(users), _CHUNK)]
    return np.concatenate([user(model.encode(histories.take(chunk)))["user_vector"] for chunk in chunks])


def _in_torch(call: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Forward:
    import torch

    def run(inputs: Arrays) -> dict[str, Floats]:
        with torch.inference_mode():
            return {name: tensor.numpy() for name, tensor in call(as_tensors(inputs)).items()}

    return run
