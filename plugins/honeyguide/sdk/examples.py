"""Makes up histories that fit a data spec: what graphs are traced with, bundles warmed up and models checked with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.sdk.data import DataSpec
from honeyguide.sdk.history import HistoryBatch

__all__ = ["example_histories"]

_BEGIN_MS = 1_700_000_000_000
_SPAN_MS = 1_000_000_000  # eleven days
_REQUEST_MS = 1_702_000_000_000


def example_histories(data: DataSpec, lengths: Sequence[int], seed: int = 0) -> HistoryBatch:
    """Makes up random histories with every column of a data spec, some with equal times.

    Args:
        data: what the histories describe.
        lengths: events of each user; together at least two for both ends of the catalogue to occur.
        seed: of all that is random; equal arguments give equal histories.

    Returns:
        As many histories as lengths. The first event of all is with the catalogue's first item and the last one with
        its last item, so that a table with too few rows is noticed.
    """
    rng = np.random.default_rng(seed)
    events = int(sum(lengths))
    times = np.sort(rng.integers(0, _SPAN_MS, events)) + _BEGIN_MS
    if events > 2:
        times[1] = times[0]
    items = rng.integers(0, data.items, events).astype(np.int32)
    items[:1], items[-1:] = 0, data.items - 1
    return HistoryBatch(
        items=items,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        times_ms=times if data.has_time else None,
        features={scaler.name: rng.normal(size=events).astype(np.float32) for scaler in data.features},
        event_types=rng.integers(0, len(data.event_types) + 1, events).astype(np.int32) if data.event_types else None,
        request_times_ms=np.full(len(lengths), _REQUEST_MS) if data.has_time else None,
    )
