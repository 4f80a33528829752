"""Stored and inline events become one history, with the numbers that the model was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide import training
from honeyguide.sdk import DataSpec, FeatureScaler
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent
from honeyguide.server.serving.event_columns import InlineHistory
from honeyguide.server.serving.histories import UserInput, UserState, build_histories

DWELL = FeatureScaler("dwell_seconds", fill=3.0, lower=0.0, upper=10.0, log=False, mean=1.0, std=2.0)
SPEC = DataSpec(items=4, repeats=False, has_time=True, event_types=("view", "buy"), features=(DWELL,))
PLAIN = DataSpec(items=4, repeats=False)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(["a", "b", "c", "d"], [""] * 4, np.array([1, 2, 3, 4]), {})


@pytest.fixture
def numbers(catalogue: Catalogue) -> StoreNumbers:
    return StoreNumbers(catalogue, SPEC.event_types)


def test_stored_events_come_before_inline_ones(catalogue: Catalogue, numbers: StoreNumbers, tmp_path: Path) -> None:
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record([StoredEvent("u", "b", 10), StoredEvent("u", "gone", 20), StoredEvent("v", "a", 30)]).result()
        users = [
            UserInput("v"),
            UserInput("u", InlineHistory(["d", "new", "a"])),
            UserInput("stranger"),
            UserInput(None, InlineHistory(["c"])),
        ]
        found = build_histories(users, store, numbers, catalogue, PLAIN)
    assert found.batch.items.tolist() == [0, 1, 3, 0, 2]
    assert found.batch.offsets.tolist() == [0, 1, 4, 4, 5]
    assert found.unknown == [0, 2, 0, 0]
    states = [UserState.STORED, UserState.STORED, UserState.ANONYMOUS, UserState.INLINE]
    assert found.states == states
    assert found.batch.times_ms is None
    assert found.batch.request_times_ms is None
    assert found.batch.event_types is None


def test_columns_are_normalised_and_numbered(catalogue: Catalogue, numbers: StoreNumbers, tmp_path: Path) -> None:
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record(
            [
                StoredEvent("u", "a", 10, "buy", dwell_seconds=99.0),
                StoredEvent("u", "b", 20, "other", dwell_seconds=5.0),
            ]
        ).result()
        inline = InlineHistory(
            ["c", "x", "d"],
            np.array([5, 25, 40]),
            ["view", "buy", ""],
            {"dwell_seconds": np.array([np.nan, 1.0, 1.0], np.float32)},
        )
        found = build_histories([UserInput("u", inline, request_time_ms=50)], store, numbers, catalogue, SPEC)
    assert found.batch.items.tolist() == [0, 1, 2, 3]
    assert found.batch.event_types is not None
    assert found.batch.event_types.tolist() == [2, 0, 1, 0]
    # Clipped at 10, as it is, filled with 3, as it is; less 1, halved.
    np.testing.assert_allclose(found.batch.features["dwell_seconds"], [4.5, 2.0, 1.0, 0.0])
    assert found.batch.times_ms is not None
    assert found.batch.times_ms.tolist() == [10, 20, 20, 40]  # inline events follow the stored ones
    assert found.batch.request_times_ms is not None
    assert found.batch.request_times_ms.tolist() == [50]


def test_events_without_time_happened_now_and_users_do_not_mix(catalogue: Catalogue, numbers: StoreNumbers) -> None:
    users = [
        UserInput(None, InlineHistory(["a"], np.array([900])), 1000),
        UserInput(None, InlineHistory(["b", "c"]), 700),
        UserInput(None, InlineHistory(["d"], np.array([5])), 800),
    ]
    found = build_histories(users, None, numbers, catalogue, SPEC)
    assert found.batch.times_ms is not None
    assert found.batch.times_ms.tolist() == [900, 700, 700, 5]


def test_a_live_history_is_what_training_saw(tmp_path: Path) -> None:
    """Recorded, brought along, or read from the data set: types, dwell and clicks come to the same numbers."""
    rows = [
        ("u", "a", 10, "view", 2.0, 0.0),
        ("u", "b", 20, "buy", 5000.0, 3.0),
        ("v", "b", 15, "view", None, 1.0),
        ("u", "c", 30, "glance", 7.0, None),
        ("v", "a", 40, "buy", 1.0, 2.0),
        ("u", "a", 50, "buy", 1.0, 2.0),  # the target of each, which is no history
        ("v", "c", 60, "view", 1.0, 2.0),
    ]
    names = ("user", "item", "time", "type", "dwell", "clicks")
    pl.DataFrame(rows, names, orient="row").write_parquet(tmp_path / "log.parquet")
    data = training.prepare(
        tmp_path / "log.parquet",
        out=tmp_path / "data",
        user="user",
        item="item",
        time="time",
        time_unit="seconds",
        event_type="type",
        dwell="dwell",
        clicks="clicks",
        repeats="yes",
        trainable=False,
    )
    assert [scaler.name for scaler in data.spec.features] == ["dwell_seconds", "clicks"]
    catalogue = Catalogue(data.items["item_id"].to_list(), [""] * 3, np.ones(3, np.int64), {})
    numbers = StoreNumbers(catalogue, data.spec.event_types)
    rows = rows[:-2]
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record([StoredEvent(u, i, 1000 * t, kind, d, c) for u, i, t, kind, d, c in rows]).result()
        stored = build_histories([UserInput("u"), UserInput("v")], store, numbers, catalogue, data.spec).batch
    inline = [
        InlineHistory(
            [row[1] for row in rows if row[0] == user],
            np.array([1000 * row[2] for row in rows if row[0] == user]),
            [row[3] for row in rows if row[0] == user],
            {
                name: np.array([row[place] for row in rows if row[0] == user], np.float32)
                for name, place in (("dwell_seconds", 4), ("clicks", 5))
            },
        )
        for user in ("u", "v")
    ]
    brought = build_histories([UserInput(None, each) for each in inline], None, numbers, catalogue, data.spec).batch
    trained = data.evaluation("test").histories
    for live in (stored, brought):
        for column in ("items", "offsets", "times_ms", "event_types"):
            assert getattr(live, column).tolist() == getattr(trained, column).tolist()
        for name, values in trained.features.items():
            np.testing.assert_array_equal(live.features[name], values)


def test_items_new_to_the_store_are_learnt(catalogue: Catalogue, numbers: StoreNumbers, tmp_path: Path) -> None:
    with SqliteEventStore(tmp_path / "events.db") as store:
        for moment, item in enumerate(["x", "c", "y", "a"]):
            store.record([StoredEvent("u", item, moment)]).result()
            found = build_histories([UserInput("u")], store, numbers, catalogue, PLAIN)
        assert found.batch.items.tolist() == [2, 0]
        assert found.unknown == [2]


def test_nobody_knows_anything(catalogue: Catalogue, numbers: StoreNumbers) -> None:
    found = build_histories([UserInput("u"), UserInput(None, InlineHistory([]))], None, numbers, catalogue, SPEC)
    assert found.batch.offsets.tolist() == [0, 0, 0]
    assert found.unknown == ()
