"""Proves that a graph computes what the network's method computes; a bundle that fails is not written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.exporters.forward import Forward
from honeyguide.exporters.graphs import EXAMPLE_BATCH, EXAMPLE_LENGTH
from honeyguide.exporters.precision import EXACT, Precision
from honeyguide.sdk import HistoryBatch, Model
from honeyguide.sdk.candidates import ranker_inputs
from honeyguide.sdk.errors import ExportError

__all__ = ["BATCHES", "ROUNDING", "one_line", "prove_graphs", "witnesses"]

BATCHES = (1, 2, 17)
RTOL, ATOL = 1e-4, 1e-5
SHARE_ATOL = 1e-4
"""Shares are read by people, and a softmax behind a recurrence of 200 steps is off by 2e-5 from rounding alone."""
ROUNDING = 1e-3
"""A graph that computes something else is further off than this."""
_SHARE_TOLERANCE = 1e-3

Floats = NDArray[np.float32]
Retrieve = Callable[[HistoryBatch, int], tuple[NDArray[np.integer[Any]], Floats]]
"""Maps histories and a count to (users, n) candidate rows, best first, -1 where there are fewer, and their
(users, n, sources) retrieval scores."""


def prove_graphs(
    model: Model,
    pairs: Mapping[str, tuple[Forward, Forward]],
    histories: HistoryBatch,
    retrieve: Retrieve,
    precision: Precision = EXACT,
) -> dict[str, float]:
    """Compares torch and ONNX for batches {1, 2, 17} × lengths {1, 2, longest}, within rtol 1e-4 and atol 1e-5.

    Shares are allowed an atol of 1e-4, graphs of lower precision a share of their largest value as well.

    Args:
        model: encodes the histories.
        pairs: by a graph's first output ("user_vector" or "item_scores", "scores", "shares") the network's method and
            the graph.
        histories: held-out users, at least one.
        retrieve: gives the candidates that graphs of scores and shares are tried with.
        precision: of the graphs.

    Returns:
        The largest absolute difference by output.

    Raises:
        ExportError: with every figure and the likely cause; also for shares that are none.
    """
    users = witnesses(histories, model.max_length)
    worst: dict[str, float] = {}

    def allowed(graph: str) -> float:
        return SHARE_ATOL if graph == "shares" else ATOL

    def compare(graph: str, batch: int, length: int) -> str:
        """Compares one graph at one shape; returns the problem, "" where there is none."""
        in_torch, in_onnx = pairs[graph]
        part = users.take(np.arange(batch)).newest(length)
        inputs: dict[str, NDArray[Any]] = dict(model.encode(part))
        columns = slice(None)
        if graph not in ("user_vector", "item_scores"):
            rows, scores = retrieve(part, 1 + 5 * batch)  # another n for each batch: it is free too
            rows, scores = np.pad(rows, ((0, 0), (0, 1)), constant_values=-1), np.pad(scores, ((0, 0), (0, 1), (0, 0)))
            # What the PAD in the last column gets means nothing, but it must not disturb its neighbours.
            inputs, columns = inputs | ranker_inputs(rows, scores), slice(-1)
        if graph == "shares":
            del inputs["retrieval_scores"]
        try:
            expected = {name: values[:, columns] for name, values in in_torch(inputs).items()}
        except Exception as error:  # boundary: a plugin's network may raise anything
            return f"the network itself fails ({type(error).__name__}: {one_line(error)})"
        try:
            exported = {name: values[:, columns] for name, values in in_onnx(inputs).items()}
            differences = {name: np.abs(exported[name] - values) for name, values in expected.items()}
        except Exception as error:  # boundary: ONNX Runtime raises classes of its own for a graph it cannot run
            return one_line(error)
        if graph == "shares":
            _check_shares(exported[graph], part.lengths)
        wrong = []
        for name, difference in differences.items():
            worst[name] = max(worst.get(name, 0.0), float(difference.max()))
            atol = allowed(graph) + precision.allows(expected[name])
            if not (difference <= atol + RTOL * np.abs(expected[name])).all():
                wrong.append(f"{'' if name == graph else f'{name} '}differs by {difference.max():.3g}")
        return ", ".join(wrong)

    cases = [(b, length) for length in sorted({1, min(2, model.max_length), model.max_length}) for b in BATCHES]
    for graph in pairs:
        problems = {case: problem for case in cases if (problem := compare(graph, *case))}
        if problems:
            listed = [f"batch {batch} × length {length}: {text}" for (batch, length), text in problems.items()]
            more = f"; and {len(listed) - 4} more" * (len(listed) > 4)
            small = max(worst.values()) < ROUNDING and all("differs by" in text for text in problems.values())
            at_example = compare(graph, EXAMPLE_BATCH, min(EXAMPLE_LENGTH, model.max_length))
            cause = precision.cause or _cause(bool(at_example), small, "state" in worst)
            raise ExportError(
                f"the exported {graph} is not the network's (allowed: rtol {RTOL:g}, atol {allowed(graph):g}"
                f"{precision.bound}): {'; '.join(listed[:4])}{more}; likely cause: {cause}"
            )
    return {f"{name}/max_abs_difference": value for name, value in worst.items()}


def witnesses(histories: HistoryBatch, longest: int) -> HistoryBatch:
    """Picks 17 users; the first is stretched to the longest history allowed by repeating its events in place."""
    recent = histories.newest(longest)
    first = int(np.argmax(recent.lengths))
    batch = recent.take(np.concatenate([[first], np.resize(np.arange(len(recent)), max(BATCHES) - 1)]))
    own = int(batch.offsets[1])
    index = np.concatenate([np.sort(np.resize(np.arange(own), longest)), np.arange(own, len(batch.items))])
    return replace(
        batch,
        items=batch.items[index],
        offsets=np.maximum(batch.offsets - own + longest, 0) * (np.arange(len(batch) + 1) > 0),
        times_ms=None if batch.times_ms is None else batch.times_ms[index],
        features={name: column[index] for name, column in batch.features.items()},
        event_types=None if batch.event_types is None else batch.event_types[index],
    )


def one_line(error: Exception) -> str:
    """Returns the beginning of an error's text, for a message of one line."""
    return " ".join(str(error).split())[:200]


def _check_shares(shares: Floats, lengths: NDArray[np.int64]) -> None:
    """Refuses (batch, n, length) numbers that do not say how much each real event carried."""
    real = np.arange(shares.shape[-1]) >= shares.shape[-1] - lengths[:, None, None]  # (batch, 1, length)
    sums = np.where(real, shares, 0).sum(-1)
    furthest = float(sums.flat[np.abs(sums - 1).argmax()])
    problem = ""
    if not (shares >= 0).all():  # `not >=` catches NaN as well
        problem = f"one of the shares is {shares.min():.3g}; likely cause: no softmax over the events"
    elif not abs(furthest - 1) <= _SHARE_TOLERANCE:
        problem = f"shares of the real events sum to {furthest:.3g}; likely cause: padding takes part in the softmax"
    elif (shares * ~real).any():
        problem = f"padding gets a share of {(shares * ~real).max():.3g}; likely cause: padding is not masked"
    if problem:
        raise ExportError(f"explain must return 0 or more for an event, 1 in all, and 0 at padding: {problem}")


def _cause(wrong_at_example: bool, small: bool, steps: bool) -> str:
    """Guesses what is wrong: is the graph wrong even at the shape it was traced with, and by how much?"""
    if small:
        return "float32 rounding that grows, as in a recurrence with large weights: train with weight decay or clipping"
    if wrong_at_example:
        other = ", or user(batch) is not vector(state(batch))" * steps
        return f"the method is random, or acts otherwise when exported than in evaluation mode{other}"
    return "an axis is frozen: a number read from a shape, or a Conv1d before an LSTM without .contiguous()"
