"""The job that every peer and the ceilings do, with numpy and ONNX Runtime alone: 50 events in, the best ten items out.

    R: user graph → the exact best 100 of all items → ten         K: the same, the best 200 → rank graph → ten

The graphs are the bundle's own files. A folder of a job has them, ``item_vectors.npy``, ``items.json`` (the ids, row by
row), and ``absent.npz`` (what the graphs are given for an event of which the item alone is known).
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime

TOP = 10
CANDIDATES = {"r": 100, "k": 200}


class Job:
    """The graphs of one bundle, and how a batch of histories goes through them."""

    def __init__(self, folder, threads=1):
        """Opens the graphs; ``threads`` is what a run of one may use."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait by spinning take the cores from those that work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        folder = Path(folder)
        self._user, self._rank = (
            onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("user", "rank")
        )
        self.items = json.loads((folder / "items.json").read_text())
        self.row_of = {item: row for row, item in enumerate(self.items)}
        self._columns = np.ascontiguousarray(np.load(folder / "item_vectors.npy").T)  # (d, items)
        # Numbers of events (quantity, price, hours between): a history of ids has none.
        self._absent = dict(np.load(folder / "absent.npz"))  # (width,) each

    def rows(self, item_ids):
        """Returns the rows of a history's items."""
        return [self.row_of[item] for item in item_ids]

    def answer(self, job, rows):
        """Answers job "r" or "k" for (batch, length) rows; returns (batch, 10) rows and scores, best first."""
        rows = np.asarray(rows, np.int64)
        batch, count = len(rows), CANDIDATES[job]
        inputs = {"tokens": rows + 1}  # 0 is padding
        inputs |= {name: np.broadcast_to(row, (*rows.shape, *row.shape)) for name, row in self._absent.items()}
        scores = _run(self._user, inputs) @ self._columns
        best = np.argpartition(scores, -count, axis=1)[:, -count:]
        values = np.take_along_axis(scores, best, 1)
        if job == "k":
            # The candidates come in the retrieval's order, as the ranker was fitted.
            order = np.argsort(-values, axis=1, kind="stable")
            best, values = np.take_along_axis(best, order, 1), np.take_along_axis(values, order, 1)
            inputs |= {"candidates": best + 1, "retrieval_scores": values[:, :, None]}
            values = _run(self._rank, inputs)
        order = np.argpartition(values, -TOP, axis=1)[:, -TOP:]
        order = np.take_along_axis(order, np.argsort(-np.take_along_axis(values, order, 1), axis=1), 1)
        return np.take_along_axis(best, order, 1).reshape(batch, TOP), np.take_along_axis(values, order, 1)


def _run(graph, inputs):
    return graph.run(None, {i.name: inputs[i.name] for i in graph.get_inputs()})[0]
