"""Proves that the item graph places an item where the network does."""

from __future__ import annotations

import numpy as np

from honeyguide.exporters.forward import Forward
from honeyguide.exporters.graphs import example_items
from honeyguide.exporters.precision import EXACT, Precision
from honeyguide.exporters.proof import BATCHES, one_line
from honeyguide.sdk import Model
from honeyguide.sdk.errors import ExportError

__all__ = ["prove_places"]

_TOLERANCE = 1e-4


def prove_places(
    model: Model, network: Forward, graph: Forward, dimension: int, precision: Precision = EXACT
) -> dict[str, float]:
    """Compares torch and ONNX on made-up items, 1, 2 and 17 of them, within rtol 1e-4 and atol 1e-4.

    Graphs of lower precision are allowed a share of the largest value as well.

    Args:
        model: whose items are placed.
        network: the network's ``place``.
        graph: the exported item graph.
        dimension: of the bundle's item vectors, which those of new items stand beside.
        precision: of the graph.

    Returns:
        The largest absolute difference.

    Raises:
        ExportError: where they differ, a vector is not finite, or it is of another dimension.
    """
    worst = 0.0
    for count in BATCHES:
        items = example_items(model, count, seed=count)
        try:
            expected, placed = network(items)["item_vector"], graph(items)["item_vector"]
        except Exception as error:  # boundary: a plugin's network and ONNX Runtime raise classes of their own
            raise ExportError(f"place fails for {count} items: {one_line(error)}") from error
        if expected.shape != (count, dimension) or placed.shape != expected.shape:
            raise ExportError(
                f"place returned shape {expected.shape} for {count} items, its graph {placed.shape}; it must be "
                f"({count}, {dimension}), in the space of items()"
            )
        if not np.isfinite(expected).all():
            raise ExportError("place gives vectors that are not finite; look for a division by what may be 0")
        difference = np.abs(placed - expected)
        worst = max(worst, float(difference.max()))
        if not (difference <= _TOLERANCE * (1 + np.abs(expected)) + precision.allows(expected)).all():
            raise ExportError(
                f"the exported item_vector is not the network's: {count} items differ by {difference.max():.3g} "
                f"(allowed: rtol {_TOLERANCE:g}, atol {_TOLERANCE:g}{precision.bound}); likely cause: "
                + (precision.cause or "the method is random, or acts otherwise when exported")
            )
    return {"item_vector/max_abs_difference": worst}
