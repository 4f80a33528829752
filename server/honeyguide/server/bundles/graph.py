"""Runs one ONNX graph on numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it ships no types
from numpy.typing import NDArray

from honeyguide.sdk import Arrays
from honeyguide.server.bundles.run_limit import RunLimit

__all__ = ["Graph"]


class Graph:
    """Graph of a bundle, open to be run."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._inputs = [tensor.name for tensor in session.get_inputs()]

    @property
    def provider(self) -> str:
        """Where it runs."""
        return str(self._session.get_providers()[0])

    def run(self, arrays: Arrays, outputs: Sequence[str], limit: RunLimit | None = None) -> list[NDArray[np.float32]]:
        """Returns the named outputs; of ``arrays`` it takes the inputs that it has. ``limit`` may end the run."""
        options = None if limit is None else limit.options
        results = self._session.run(list(outputs), {name: arrays[name] for name in self._inputs}, options)
        return [np.asarray(array, np.float32) for array in results]
