"""Makes what a server needs without any download: bundles of ``cf`` and ``gru`` and an event store, the size of ML-1M.

The histories are drawn: as long as MovieLens-1M's (20 or more, median 96, mean 165), from a Zipf–Mandelbrot
distribution whose first item is with half of the users. The networks are not trained, which costs and saves no time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost

MODELS = ("cf", "gru")
USERS, ITEMS, CANDIDATES = 6_040, 3_416, 200
VALIDATED = 500
"""Users that the export is proven with."""
ITEM_IDS = np.array([f"film-{row:04}" for row in range(ITEMS)])
USER_IDS = [f"user-{user}" for user in range(USERS)]


def draw(seed: int = 0) -> HistoryBatch:
    """Draws every user's history: distinct items, an hour between two events."""
    random = np.random.default_rng(seed)
    lengths = np.clip(random.lognormal(np.log(96), 1.04, USERS), 20, 2_000).astype(np.int64)
    popularity = -np.log(np.arange(ITEMS) + 50)
    items = []
    for length in lengths:
        # Gumbel noise turns "the largest n" into n draws without replacement.
        noisy = popularity + random.gumbel(size=ITEMS)
        items.append(np.argsort(-noisy)[:length])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    return HistoryBatch(np.concatenate(items).astype(np.int32), offsets, times_ms=1_600_000_000_000 + place * 3_600_000)


def store_events(histories: HistoryBatch, path: Path) -> None:
    """Imports all events into an event store."""
    from honeyguide.server.events.sqlite import SqliteEventStore

    frame = pl.DataFrame(
        {
            "user_id": np.repeat(USER_IDS, histories.lengths),
            "item_id": ITEM_IDS[histories.items],
            "time_ms": histories.times_ms,
        }
    )
    with SqliteEventStore(path) as store:
        for part in frame.iter_slices(20_000):
            store.import_events(part)


def export(histories: HistoryBatch, repository: Path, models: Sequence[str] = MODELS, seed: int = 0) -> None:
    """Exports each model with its ranker, whose evidence is counted in the histories; last events are targets."""
    import torch

    from honeyguide.exporters import export_bundle

    last = histories.offsets[1 : VALIDATED + 1] - 1
    inputs = histories.cut(histories.offsets[:VALIDATED], last)
    popularity = np.bincount(histories.items, minlength=ITEMS)
    items = pl.DataFrame(
        {
            "item_id": ITEM_IDS,
            "title": [f"Film {row}" for row in range(ITEMS)],
            "categories": [[f"genre-{row % 18}"] for row in range(ITEMS)],
            "popularity": popularity,
        }
    )
    for name in models:
        torch.manual_seed(seed)
        cls = PluginHost.load().model(name)
        model = cls(cls.Config(), DataSpec(items=ITEMS, repeats=False, has_time=True))
        network = model.network()
        network.observe(histories, ItemTable.of_rows(model.data.items))  # type: ignore[operator]  # both have it
        export_bundle(
            repository,
            name,
            model=model,
            network=network,
            items=items,
            evaluation=EvaluationSet(inputs, np.arange(VALIDATED), histories.items[last]),
            plugin=f"honeyguide {version('honeyguide')}",
            metrics={},
            candidates=CANDIDATES,
        )


if __name__ == "__main__":  # in a process of its own, so that the measuring one never loads torch
    drawn = draw()
    store_events(drawn, Path(sys.argv[1]) / "events.db")
    export(drawn, Path(sys.argv[1]) / "models")
