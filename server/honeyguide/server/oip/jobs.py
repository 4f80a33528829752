"""Keeps one request of the protocol on its way: what it asks, and its outputs as their rows come in."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.oip.v2 import inference_pb2 as pb
from honeyguide.sdk.errors import InvalidArgument, NotOffered
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.oip.models import InferenceModel
from honeyguide.server.oip.statistics import Durations, Statistics
from honeyguide.server.oip.tensors import BYTES, DATATYPES
from honeyguide.server.serving.calls import ServerCall

__all__ = ["Job"]


class Job:
    """One call to one model. Its rows are computed by any threads, and whoever does the last one ends it."""

    def __init__(
        self,
        call: ServerCall,
        request: pb.ModelInferRequest,
        model: InferenceModel,
        outputs: Mapping[str, NDArray[Any]],
        took: Durations,
    ) -> None:
        """Takes what is asked.

        Args:
            call: its way back.
            request: as it came.
            model: who answers.
            outputs: by name, empty arrays that rows are written to; of BYTES they hold elements as they are sent.
            took: what it waited, and what reading it took.

        Raises `InvalidArgument` for an output that the model does not have, or `NotOffered`.
        """
        self.call, self.model, self.outputs = call, model, outputs
        self.rows = len(next(iter(outputs.values())))
        self._id, self._names = request.id, _asked(request, model)
        self._took, self._begun = took, monotonic()
        self._left, self._lock = self.rows, threading.Lock()

    @property
    def gone(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.call.gone

    def finish(self, rows: int, outcomes: Outcomes, statistics: Statistics) -> None:
        """Notes that so many more rows were written, and answers once all are."""
        with self._lock:
            self._left -= rows
            if self._left:
                return
        computed = monotonic()
        payload = self._response().SerializeToString()
        self._took.infer, self._took.write = computed - self._begun, monotonic() - computed
        statistics.succeeded(self.model.name, self.model.version, self.rows, self._took)
        outcomes.answer([self.call], [payload])

    def fail(self, error: Exception, outcomes: Outcomes, statistics: Statistics) -> None:
        """Ends the call with an error, unless it has ended."""
        if not self.call.gone:
            statistics.failed(self.model.name, self.model.version, monotonic() - self.call.arrived)
            outcomes.fail(self.call, error)

    def _response(self) -> pb.ModelInferResponse:
        response = pb.ModelInferResponse(model_name=self.model.name, model_version=str(self.model.version), id=self._id)
        datatypes = {tensor.name: tensor.datatype for tensor in self.model.outputs}
        for name in self._names:
            values, datatype = self.outputs[name], datatypes[name]
            response.outputs.add(name=name, datatype=datatype, shape=values.shape)
            if datatype == BYTES:
                response.raw_output_contents.append(b"".join(values.ravel().tolist()))
            else:
                response.raw_output_contents.append(np.ascontiguousarray(values, DATATYPES[datatype]).tobytes())
        return response


def _asked(request: pb.ModelInferRequest, model: InferenceModel) -> Sequence[str]:
    """Returns the names of the outputs that are asked for, in their order."""
    known = [tensor.name for tensor in model.outputs]
    for output in request.outputs:
        if output.name not in known:
            raise InvalidArgument("outputs", output.name, ", ".join(known))
        if refused := [name for name in output.parameters if name != "binary_data"]:
            raise NotOffered(
                f"outputs[{output.name}] has the parameter {refused[0]!r}, which this server does not offer"
            )
    return list(dict.fromkeys(output.name for output in request.outputs)) or known
