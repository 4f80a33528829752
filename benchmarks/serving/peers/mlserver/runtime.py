"""The job as a custom runtime of MLServer, with its adaptive batching; it is given rows, as Triton is."""

import sys

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Recommender(MLModel):
    """One model, that is one job."""

    async def load(self):
        """Opens the graphs."""
        sys.path.append(self.settings.parameters.extra["peers"])
        from job import Job

        self._job = Job(self.settings.parameters.extra["folder"])
        return True

    async def predict(self, payload):
        """Answers a batch."""
        rows, scores = self._job.answer(self.name, NumpyCodec.decode_input(payload.inputs[0]))
        outputs = [NumpyCodec.encode_output("items", rows.astype(np.int64)), NumpyCodec.encode_output("scores", scores)]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)
