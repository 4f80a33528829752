"""Runs a bundle's graphs for requests of the protocol, once everything that a graph trusts was checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.oip.jobs import Job
from honeyguide.server.oip.models import GraphModel, token_ranges
from honeyguide.server.oip.tensors import Given
from honeyguide.server.oip.work import Book

__all__ = ["GraphWork", "empty_outputs", "read_arrays"]

_MAX_CELLS = 200_000
"""Candidates x events that one run may have: more would hold hundreds of megabytes."""
_RANKED = ("candidates", "retrieval_scores")


class GraphWork:
    """Rows of one job that a graph computes; see `Work`."""

    def __init__(self, book: Book, job: Job, model: GraphModel, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._book, self._job, self._model, self._arrays = book, job, model, arrays
        self._next = 0

    @property
    def left(self) -> int:
        """Rows that are still to be computed."""
        return 0 if self._job.gone else self._job.rows - self._next

    @property
    def jobs(self) -> Sequence[Job]:
        """Whose rows these are."""
        return (self._job,)

    def step(self, rows: int) -> None:
        """Runs the graph for the next rows."""
        arrays = self._arrays
        if "candidates" in arrays:
            length = arrays["tokens"].shape[1] if "tokens" in arrays else 1
            cells = arrays["candidates"].shape[1] * length
            rows = max(1, min(rows, _MAX_CELLS // cells))
        stop = min(self._next + rows, self._job.rows)
        part = {name: array[self._next : stop] for name, array in arrays.items()}
        bundle, start = self._model.bundle, perf_counter()
        if self._model.graph == "rank":
            candidates = part.pop("candidates")
            scores = bundle.rank(part, candidates - 1, part.pop("retrieval_scores"))
            self._job.outputs["scores"][self._next : stop] = scores
        else:
            assert isinstance(bundle, RetrievingBundle)
            self._job.outputs[bundle.manifest.user_output][self._next : stop] = bundle.read(part)[0]
        seconds, count = perf_counter() - start, stop - self._next
        self._book.statistics.computed(self._model.name, self._model.version, count, seconds)
        self._next = stop
        self._book.finish(self._job, count)


def read_arrays(model: GraphModel, given: Mapping[str, Given]) -> dict[str, NDArray[Any]]:
    """Returns a graph's inputs, each number in the range that the graph trusts it to be in.

    Raises `InvalidArgument` for a token that is none of the catalogue's, a history that is empty or not padded on the
    left, a number that is not finite, or axes of the same name that differ.
    """
    arrays = {name: np.asarray(each.values) for name, each in given.items()}
    ranges = {**token_ranges(model.bundle.manifest), "candidates": len(model.bundle.catalogue)}
    for name, array in arrays.items():
        if array.dtype.kind in "iu" and array.size and not 0 <= array.min() <= array.max() <= ranges[name]:
            worst = array.min() if array.min() < 0 else array.max()
            raise InvalidArgument(f"inputs[{name}]", int(worst), f"0 to {ranges[name]:,}; 0 is padding")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InvalidArgument(f"inputs[{name}]", float(array[~np.isfinite(array)][0]), "finite numbers")
    _check_axes(model, arrays)
    if "candidates" in arrays and not arrays["candidates"].shape[1]:
        raise InvalidArgument("inputs[candidates]", "no candidate", "one or more for each row")
    if "tokens" in arrays:
        there = arrays["tokens"] > 0
        if not there.shape[1] or not there[:, -1].all():
            raise InvalidArgument(
                "inputs[tokens]", "a row without a newest event", "the newest event in the last column"
            )
        if (there[:, :-1] & ~there[:, 1:]).any():
            raise InvalidArgument("inputs[tokens]", "padding between events", "padding on the left alone")
    return arrays


def _check_axes(model: GraphModel, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Checks that free axes of one name are equally long."""
    lengths = {
        f"inputs[{spec.name}].shape": arrays[spec.name].shape[spec.axes.index("length")]
        for spec in model.bundle.manifest.inputs
        if "length" in spec.axes
    }
    counts = {f"inputs[{name}].shape": arrays[name].shape[1] for name in _RANKED if name in arrays}
    for axis in (lengths, counts):
        for field, size in axis.items():
            if size != (first := next(iter(axis.values()))):
                raise InvalidArgument(field, f"length {size}", f"{first}, as {next(iter(axis))} has")


def empty_outputs(model: GraphModel, rows: int, given: Mapping[str, Given]) -> dict[str, NDArray[np.float32]]:
    """Returns the outputs before anything is computed."""
    if model.graph == "rank":
        return {"scores": np.zeros((rows, given["candidates"].shape[1]), np.float32)}
    manifest = model.bundle.manifest
    return {manifest.user_output: np.zeros((rows, manifest.user_width), np.float32)}
