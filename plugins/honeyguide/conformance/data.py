"""Makes the data that models are checked on: walks on a checkerboard, whose next item is known, and its catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from honeyguide.sdk import DataSpec, FeatureScaler, HistoryBatch, ItemTable
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.sdk.history import EvaluationSet

if TYPE_CHECKING:
    import polars as pl

__all__ = ["IDS", "ITEMS", "MINUTE_MS", "PLAIN", "RICH", "SPECS", "START_MS", "catalogue", "item_table", "walks"]

ITEMS = 24
IDS = [f"item-{row}" for row in range(ITEMS)]
"""What the items are called when served."""
PLAIN = DataSpec(items=ITEMS, repeats=True)
"""Data of item ids alone."""
RICH = DataSpec(
    items=ITEMS,
    repeats=False,
    has_time=True,
    event_types=("view", "purchase"),
    features=tuple(
        FeatureScaler(name, fill=1.0, lower=0.0, upper=9.0, log=True, mean=1.0, std=0.5) for name in EVENT_FEATURES
    ),
)
"""Data with every column there is; no user meets an item again."""
SPECS = {"item ids alone": PLAIN, "every event column": RICH}
START_MS, MINUTE_MS = 1_700_000_000_000, 60_000
"""When every walk begins, and the time from item to item."""
COLOURS = tuple("odd" if row % 2 else "even" for row in range(ITEMS))


def walks(seed: int, count: int) -> EvaluationSet:
    """Makes walks on one colour of the checkerboard, an item a minute: two places on is always next."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, ITEMS, count), rng.integers(4, 9, count)
    lists = [[(int(start) + 2 * i) % ITEMS for i in range(n + 1)] for start, n in zip(starts, lengths, strict=True)]
    plain = HistoryBatch.from_lists([walk[:-1] for walk in lists])
    events = len(plain.items)
    place = np.arange(events) - np.repeat(plain.offsets[:-1], plain.lengths)
    return EvaluationSet(
        histories=HistoryBatch(
            items=plain.items,
            offsets=plain.offsets,
            times_ms=START_MS + MINUTE_MS * place,
            features={scaler.name: scaler(np.ones(events)) for scaler in RICH.features},
            event_types=np.ones(events, np.int32),
            request_times_ms=START_MS + MINUTE_MS * plain.lengths,
        ),
        target_users=np.arange(count),
        target_items=np.array([walk[-1] for walk in lists], np.int32),
    )


def item_table() -> ItemTable:
    """Makes the catalogue as networks observe it: with a text and a number column, every fifth value missing."""
    gaps = [row % 5 == 4 for row in range(ITEMS)]
    return ItemTable.from_lists(
        IDS,
        titles=IDS,
        categories=[[colour] for colour in COLOURS],
        texts={"text": ["" if gap else f"{colour} place" for gap, colour in zip(gaps, COLOURS, strict=True)]},
        numbers={"price": [np.nan if gap else float(row) for row, gap in enumerate(gaps)]},
    )


def catalogue() -> pl.DataFrame:
    """Makes the catalogue as a bundle holds it."""
    import polars as pl

    return pl.DataFrame(
        {
            "item_id": IDS,
            "title": IDS,
            "categories": [[colour] for colour in COLOURS],
            "popularity": list(range(ITEMS, 0, -1)),
        }
    )
