"""Ends the run of a graph that takes too long."""

from __future__ import annotations

import threading
from types import TracebackType

import onnxruntime as ort  # type: ignore[import-untyped]  # it ships no types

__all__ = ["RunLimit"]


class RunLimit:
    """Limit on the graph runs inside a block: one that is still under way after it ends with an error of the runtime.

    ONNX Runtime looks between two nodes of a graph, so that a run ends after the node that it is at. The limit costs a
    thread for as long as the block lasts, some 0.1 ms.
    """

    def __init__(self, seconds: float) -> None:
        """Starts with the block."""
        self.options = ort.RunOptions()
        """What the runs are given."""
        self.passed = False
        """Whether the time is over."""
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> RunLimit:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.passed = True
        self.options.terminate = True
