"""Runs one ONNX graph on numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it ships no types
from numpy.typing import NDArray

from honeyguide.sdk import Arrays

__all__ = ["Graph"]


class Graph:
    """Is one graph; it takes what it needs of what is offered."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._inputs = [tensor.name for tensor in session.get_inputs()]

    @property
    def provider(self) -> str:
        """Where it runs."""
        return str(self._session.get_providers()[0])

    def run(self, offered: Arrays, outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Returns the named outputs."""
        found = self._session.run(list(outputs), {name: offered[name] for name in self._inputs})
        return [np.asarray(array, np.float32) for array in found]
