"""Lays out the events of histories as the arrays that sequence models read, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import Arrays, DataSpec, HistoryBatch, TensorSpec

__all__ = ["WAITS", "encode_events", "event_inputs", "nearest_waits", "numbers_of"]

WAITS = 56
"""Kinds of "waits", two for each doubling of the seconds: to nine years."""

_DAY = 86_400_000.0

_GAP = 10.0  # log(1 + seconds) / 10 is 0 to 2: a minute .41, a day 1.14, a year 1.73


def numbers_of(data: DataSpec, features: bool) -> int:
    """Returns how many numbers describe an event beside its item and type."""
    return (len(data.features) + data.has_time) if features else 0


def event_inputs(data: DataSpec, features: bool, *, ages: bool = False, waits: bool = False) -> tuple[TensorSpec, ...]:
    """Describes what `encode_events` returns.

    These are "tokens"; "numbers" [batch, length, numbers], the features the data has and the time since the event
    before; "types" [batch, length], 0 for an unknown event type; and, where they are asked for, "ages" [batch, length],
    days from each event to the moment of the answer, and "waits" [batch, length], how long after each event the next
    ones came, which for the newest is the moment of the answer: 1 to `WAITS`, 0 where it is not known. What the data
    lacks is left out.
    """
    specs = [TensorSpec("tokens", "int64", ("batch", "length"))]
    if count := numbers_of(data, features):
        specs.append(TensorSpec("numbers", "float32", ("batch", "length", count)))
    if features and data.event_types:
        specs.append(TensorSpec("types", "int64", ("batch", "length")))
    if ages and data.has_time:
        specs.append(TensorSpec("ages", "float32", ("batch", "length")))
    if waits and data.has_time:
        specs.append(TensorSpec("waits", "int64", ("batch", "length")))
    return tuple(specs)


def encode_events(
    batch: HistoryBatch, data: DataSpec, max_length: int, features: bool, *, ages: bool = False, waits: bool = False
) -> Arrays:
    """Returns the arrays that `event_inputs` describes, of each user's newest events."""
    batch = batch.newest(max_length)  # as a server passes it on: the time before the first one read is not known
    arrays: dict[str, NDArray[np.generic]] = {"tokens": batch.tokens(max_length)}
    events = batch.items.size
    if count := numbers_of(data, features):
        numbers = np.zeros((events, count), np.float32)
        for place, scaler in enumerate(data.features):
            if scaler.name in batch.features:
                numbers[:, place] = batch.features[scaler.name]
        if batch.times_ms is not None and data.has_time:
            numbers[:, -1] = _gaps(batch)
        arrays["numbers"] = batch.padded(numbers, max_length)
    if features and data.event_types:
        types = np.zeros(events, np.int64) if batch.event_types is None else batch.event_types.astype(np.int64)
        arrays["types"] = batch.padded(types, max_length)
    if ages and data.has_time:
        arrays["ages"] = batch.padded(_ages(batch), max_length)
    if waits and data.has_time:
        arrays["waits"] = batch.padded(_waits(batch), max_length)
    return arrays


def nearest_waits(histories: HistoryBatch) -> NDArray[np.int64]:
    """Returns (WAITS + 1,) by kind of "waits" the nearest that lies between two events of a user, the shorter of two.

    Where there is none at all, each kind is its own nearest, as 0 always is.
    """
    kinds = np.arange(WAITS + 1)
    if histories.times_ms is None:
        return kinds
    users = np.repeat(np.arange(len(histories)), histories.lengths)
    waits = np.diff(histories.times_ms)[users[1:] == users[:-1]]
    met = np.unique(_kinds(waits[waits > 0]))
    if met.size:
        kinds[1:] = met[np.abs(kinds[1:, None] - met).argmin(1)]
    return kinds


def _ages(batch: HistoryBatch) -> NDArray[np.float32]:
    """Returns (events,) days from each event to now; 0 where events have no times."""
    if batch.times_ms is None:
        return np.zeros(batch.items.size, np.float32)
    ages: NDArray[np.float32] = ((_now(batch) - batch.times_ms) / _DAY).astype(np.float32)
    return ages


def _waits(batch: HistoryBatch) -> NDArray[np.int64]:
    """Returns (events,) how long it was from each event to the next of another time, or to now where there is none."""
    times, events = batch.times_ms, batch.items.size
    if times is None or not events:
        return np.zeros(events, np.int64)
    starts_here = np.diff(times, prepend=times[0] - 1) != 0  # events of one time have the same next one
    starts_here[batch.offsets[:-1][batch.lengths > 0]] = True
    after = np.append(np.flatnonzero(starts_here), events)[np.cumsum(starts_here)]  # where the next time starts
    followed = after < np.repeat(batch.offsets[1:], batch.lengths)
    until = np.where(followed, times[np.minimum(after, events - 1)], _now(batch))
    return _kinds(until - times)


def _kinds(waits_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the kinds, 1 to `WAITS`, of times in milliseconds."""
    doublings = np.log2(1.0 + np.maximum(waits_ms, 0) / 1000.0)
    return np.minimum(1 + (2.0 * doublings).astype(np.int64), WAITS)


def _now(batch: HistoryBatch) -> NDArray[np.int64]:
    """Returns (events,) each user's moment: the request's, or the newest event's where that is later or alone known."""
    assert batch.times_ms is not None
    newest = batch.times_ms[np.maximum(batch.offsets[1:] - 1, 0)]
    now = newest if batch.request_times_ms is None else np.maximum(batch.request_times_ms, newest)
    return np.repeat(now, batch.lengths)


def _gaps(batch: HistoryBatch) -> NDArray[np.float32]:
    """Returns (events,) the scaled logarithm of the seconds since the same user's event before; 0 for the first."""
    assert batch.times_ms is not None
    seconds = np.zeros(batch.times_ms.size)
    np.subtract(batch.times_ms[1:], batch.times_ms[:-1], out=seconds[1:])
    seconds /= 1000.0
    seconds[batch.offsets[:-1][batch.lengths > 0]] = 0.0
    if not np.count_nonzero(seconds):  # as where a request brings no times along
        return seconds.astype(np.float32)
    return (np.log1p(np.maximum(seconds, 0.0)) / _GAP).astype(np.float32)
