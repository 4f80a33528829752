"""Answers as many made-up items as are asked for: a model of Triton's Python backend with a pipeline's tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # Triton's own


class TritonPythonModel:
    """The model, as the backend calls it."""

    def execute(self, requests: Any) -> list[Any]:
        """Answers each request."""
        return [self._answer(request) for request in requests]

    @staticmethod
    def _answer(request: Any) -> Any:
        rows = len(pb.get_input_tensor_by_name(request, "history").as_numpy())
        given = pb.get_input_tensor_by_name(request, "k")
        k = 10 if given is None else int(given.as_numpy().max())
        ids = np.array([[f"item-{place}".encode() for place in range(k)]] * rows, object)
        return pb.InferenceResponse([pb.Tensor("ids", ids), pb.Tensor("scores", np.ones((rows, k), np.float32))])
