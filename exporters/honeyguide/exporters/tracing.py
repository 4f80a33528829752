"""Traces a module into an ONNX graph and refuses one that froze an axis or lost an input."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honeyguide.sdk.errors import ExportError
from honeyguide.training.target_folder import is_full_disk, writing

if TYPE_CHECKING:
    from torch import nn

__all__ = ["OPSET", "trace"]

OPSET = 20
"""Newest ONNX operator set that torch translates to without a conversion pass."""
_EMBED_BELOW = 1_900_000_000  # bytes; a protobuf file ends at 2 GiB, larger weights go to a file beside the graph


def trace(
    graph: nn.Module,
    arguments: Mapping[str, Any],
    shapes: Mapping[str, Any],
    outputs: Sequence[str],
    path: Path,
) -> None:
    """Writes a module's ONNX graph.

    Args:
        graph: what is traced; its forward takes ``arguments`` by name.
        arguments: an example: tensors, and under "batch" a dict of tensors. Their names, in order, are the graph's
            inputs.
        shapes: the free axes, `torch.export.Dim` by place, laid out as ``arguments`` is.
        outputs: names of the outputs.
        path: where the graph is written.

    Raises:
        DataError: where the disk refuses it.
        ExportError: where it cannot be translated, an input is lost or an axis is fixed.
    """
    import torch

    inputs = [name for key, value in arguments.items() for name in (value if isinstance(value, dict) else [key])]
    weights = sum(t.numel() * t.element_size() for t in graph.state_dict().values())
    with torch.no_grad(), _tamed_exporter():
        try:
            program = torch.onnx.export(
                graph.eval(),
                kwargs=dict(arguments),  # by name: a dict at the end of positional arguments would be taken for these
                dynamo=True,
                input_names=inputs,
                output_names=list(outputs),
                dynamic_shapes=dict(shapes),
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # boundary: torch translates a plugin's code, which may raise anything
            if is_full_disk(error):  # it keeps files of its own while it works
                raise ExportError(f"{path}: no room is left on the disk, here or in {tempfile.gettempdir()}") from error
            raise ExportError(
                f"{path.name} cannot be made from the network: {type(error).__name__}: {_first_lines(error)}; "
                "likely cause: Python control flow over tensor values, an operator without an ONNX form, "
                "or an axis (batch, length ≤ max_length, candidates) that the network fixes"
            ) from error
        assert program is not None  # it is None only with the exporter that dynamo replaced
        with writing(path, "the graph"):
            program.save(path, external_data=weights >= _EMBED_BELOW)
    _check_free(program.model.graph, {**shapes.get("batch", {}), **shapes}, inputs, path.name)


def _check_free(graph: Any, shapes: Mapping[str, Mapping[int, Any]], inputs: list[str], name: str) -> None:
    """Refuses a graph with a fixed axis: on a conflict torch fixes the axis to the example's size and says nothing."""
    axes = {value.name: value.shape for value in graph.inputs}
    for tensor in inputs:
        if tensor not in axes:
            raise ExportError(f"{name} lost its input {tensor!r}: the network must take every input as given")
        for place, axis in shapes[tensor].items():
            if isinstance(size := axes[tensor][place], int):
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
