"""Takes the neighbours of each item from a network that has no item vectors, as a bundle holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from honeyguide.sdk import Model
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.manifest import NEIGHBOUR
from honeyguide.training.plugin_calls import plugin_call

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["item_neighbours"]


def item_neighbours(network: nn.Module, model: Model) -> NDArray[np.void]:
    """Returns (items, n) of `NEIGHBOUR`: rows, best first, -1 behind the last, with their similarities.

    Raises:
        ExportError: where what ``network.neighbours()`` returns is no such table.
        PluginError: where it fails.
    """
    import torch

    calls: Any = network  # nn.Module types every attribute Tensor | Module
    with plugin_call(model, "neighbours"), torch.inference_mode():
        tokens, scores = (tensor.numpy() for tensor in calls.neighbours())
    items = model.data.items
    if tokens.shape != scores.shape or tokens.ndim != 2 or len(tokens) != items or tokens.dtype.kind != "i":
        raise ExportError(
            f"neighbours() returned {tokens.dtype} {tokens.shape} and {scores.dtype} {scores.shape}; it must return "
            f"whole numbers and similarities, both ({items}, n)"
        )
    there, rows = tokens > 0, tokens.astype(np.int64) - 1
    ascending = np.sort(rows, axis=1)
    problem = ""
    if tokens.min(initial=0) < 0 or tokens.max(initial=0) > items:
        problem = f"tokens from {tokens.min()} to {tokens.max()}; allowed: 0 to {items}"
    elif (rows == np.arange(items)[:, None]).any():
        problem = "an item among its own neighbours"
    elif ((ascending[:, 1:] == ascending[:, :-1]) & (ascending[:, 1:] >= 0)).any():
        problem = "a neighbour twice"
    elif (there[:, 1:] & ~there[:, :-1]).any() or (there[:, 1:] & (scores[:, 1:] > scores[:, :-1])).any():
        problem = "neighbours that are not in order: the most similar first, 0 behind the last"
    elif not np.isfinite(scores[there]).all():
        problem = "similarities that are not finite"
    if problem:
        raise ExportError(f"neighbours() of model {model.name!r} returned {problem}")
    table = np.empty(rows.shape, NEIGHBOUR)
    table["row"], table["score"] = rows, np.where(there, scores, -np.inf)
    return table
