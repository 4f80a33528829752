"""Makes the data that models are checked on: walks on a checkerboard, whose next item is known, and its catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import DataSpec, FeatureScaler, HistoryBatch, ItemColumn, ItemTable
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.sdk.history import EvaluationSet

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "IDS",
    "ITEMS",
    "MINUTE_MS",
    "PLAIN",
    "RICH",
    "SPECS",
    "START_MS",
    "blank_table",
    "bundle_items",
    "item_table",
    "walks",
]

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
    item_columns=(ItemColumn("text", "text"), ItemColumn("number", "number"), ItemColumn("vector", "vector", width=3)),
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
    """Makes the catalogue as networks observe it, with every column that a network asks for.

    Every fifth value of a column is missing: prepared data may have been told to keep any column, with any gaps.
    """
    gaps = np.arange(ITEMS) % 5 == 4
    texts = np.where(gaps, "", np.array([f"{colour} place" for colour in COLOURS], dtype=object))
    plain = ItemTable.from_lists(IDS, titles=IDS, categories=[[colour] for colour in COLOURS])
    return replace(
        plain,
        texts=_AnyColumn("text", texts),
        numbers=_AnyColumn("number", np.where(gaps, np.nan, np.arange(ITEMS, dtype=np.float64))),
        vectors=_AnyColumn(
            "vector", np.where(gaps[:, None], np.nan, np.eye(3)[np.arange(ITEMS) % 3]).astype(np.float32)
        ),
    )


def blank_table() -> ItemTable:
    """Makes a catalogue of which nothing is known: no title, no category, and no value in any column."""
    plain = ItemTable.from_lists(IDS)
    return replace(
        plain,
        texts=_AnyColumn("text", plain.titles),
        numbers=_AnyColumn("number", np.full(ITEMS, np.nan)),
        vectors=_AnyColumn("vector", np.full((ITEMS, 3), np.nan, np.float32)),
    )


class _AnyColumn(Mapping[str, Any]):
    """Columns of one kind: one is listed, and there is one of every other name."""

    def __init__(self, name: str, values: NDArray[Any]) -> None:
        self._name, self._values = name, values

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._values

    def __iter__(self) -> Iterator[str]:
        return iter((self._name,))

    def __len__(self) -> int:
        return 1


def bundle_items() -> pl.DataFrame:
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
