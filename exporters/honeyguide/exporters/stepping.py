"""Proves that a user's state, taken on event by event, is the state of the whole history read anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from honeyguide.exporters.forward import Forward
from honeyguide.exporters.precision import EXACT, Precision
from honeyguide.exporters.proof import BATCHES, ROUNDING, one_line, witnesses
from honeyguide.sdk import HistoryBatch, Model
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.model import last_event

__all__ = ["prove_steps"]

TOLERANCE = 1e-4
_USERS = 256  # of the held-out ones, beside the witnesses

Outputs = Mapping[str, NDArray[np.float32]]


def prove_steps(
    model: Model, user: Forward, step: Forward, histories: HistoryBatch, precision: Precision = EXACT
) -> dict[str, float]:
    """Compares stepping with re-encoding, both in ONNX, within rtol 1e-4 and atol 1e-4.

    Graphs of lower precision are allowed a share of the largest value as well.

    Batches {1, 2, 17} × lengths {2, 3, longest} go from the first event to the last one, one step at a time; held-out
    users go from all but their newest event to the whole, in one step. Events are encoded by `last_event`.

    Args:
        model: encodes the histories.
        user: the exported user graph.
        step: the exported step graph.
        histories: held-out users, at least one.
        precision: of the graphs.

    Returns:
        The largest absolute difference of the state and of the user vector.

    Raises:
        ExportError: with every figure and the likely cause.
    """
    users = witnesses(histories, model.max_length)
    cases = {
        f"batch {batch} × length {length}": (users.take(np.arange(batch)).newest(length), 1)
        for length in sorted({min(length, model.max_length) for length in (2, 3, model.max_length)})
        for batch in BATCHES
    }
    recent = histories.newest(model.max_length)
    several = np.flatnonzero(recent.lengths > 1)
    if len(several):
        part = recent.take(several[np.unique(np.linspace(0, len(several) - 1, _USERS).astype(np.int64))])
        cases[f"the newest event of {len(part)} users"] = part, int(part.lengths.max()) - 1
    problems: dict[str, str] = {}
    worst = {"state": 0.0, "user_vector": 0.0}
    for case, (part, start) in cases.items():
        encoded = user(model.encode(part))
        try:
            walked = _walk(model, user, step, part, start)
        except Exception as error:  # boundary: ONNX Runtime raises classes of its own for a graph it cannot run
            problems[case] = one_line(error)
            continue
        for name in worst:
            difference = np.abs(walked[name] - encoded[name])
            worst[name] = max(worst[name], float(difference.max()))
            atol = TOLERANCE + precision.allows(encoded[name])
            if not (difference <= atol + TOLERANCE * np.abs(encoded[name])).all():
                problems[case] = f"{name} differs by {difference.max():.3g}"
    if problems:
        listed = [f"{case}: {problem}" for case, problem in problems.items()]
        more = f"; and {len(listed) - 4} more" * (len(listed) > 4)
        unpadded = any(case.startswith("batch 1 ") for case in problems)
        raise ExportError(
            f"stepping is not re-encoding (allowed: rtol {TOLERANCE:g}, atol {TOLERANCE:g}{precision.bound}): "
            f"{'; '.join(listed[:4])}{more}; likely cause: "
            f"{precision.cause or _cause(unpadded, max(worst.values()) < ROUNDING)}"
        )
    return {f"step/{name}/max_abs_difference": value for name, value in worst.items()}


def _walk(model: Model, user: Forward, step: Forward, histories: HistoryBatch, start: int) -> Outputs:
    """Encodes the first ``start`` events of each user, or all but the newest one, and steps through the others."""
    starts = histories.offsets[:-1]
    counts = np.maximum(np.minimum(start, histories.lengths - 1), 1)
    # A state is kept from an earlier moment, so it must not hold that of the request: `cut` leaves this out.
    now = {name: values.copy() for name, values in user(model.encode(histories.cut(starts, starts + counts))).items()}
    while len(going := np.flatnonzero(counts < histories.lengths)):
        counts[going] += 1
        so_far = histories.cut(starts[going], starts[going] + counts[going])
        times = None if histories.request_times_ms is None else histories.request_times_ms[going]
        after = step({"state": now["state"][going], **last_event(model, replace(so_far, request_times_ms=times))})
        now["state"][going], now["user_vector"][going] = after["next_state"], after["user_vector"]
    return now


def _cause(unpadded: bool, small: bool) -> str:
    """Guesses what is wrong: does it go wrong even without padding, and by how much?"""
    if small:
        return "float32 rounding that grows, as in a recurrence with large weights: train with weight decay or clipping"
    if unpadded:
        return (
            "the state depends on more than the events so far in their order, as with attention over the whole history,"
            " a second direction, places counted from the newest event, or the moment of the request"
        )
    return "padding changes the state: leave it out, or pass zeros through layers without biases"
