"""What `benchmarks/cold_items.py` holds out, and what it compares with."""

from __future__ import annotations

import cold_items
import polars as pl
import pytest
from cold_items import Case, Data, by_category, split


def data() -> Data:
    """Six users take the items 0–9 in turn, each beginning elsewhere, an item a basket; even items are "even"."""
    rows = [(f"u{user}", str((user + place) % 10), place) for user in range(6) for place in range(10)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "basket"], orient="row")
    items = [(str(item), f"Item {item}", ["odd" if item % 2 else "even"]) for item in range(10)]
    return Data(events, pl.DataFrame(items, schema=["item_id", "title", "categories"], orient="row"))


def test_nothing_of_a_held_out_item_and_no_last_basket_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_items, "SHARE", 0.3)
    held, kept, cases = split(data())
    assert len(held) == 3
    assert not held & set(kept["item_id"])
    assert kept["basket"].max() == 8
    last = {f"u{user}": str((user + 9) % 10) for user in range(6)}
    assert sorted(case.targets.pop() for case in cases) == sorted(item for item in last.values() if item in held)
    for case in cases:
        assert not held & set(case.history)


def test_the_baseline_ranks_by_the_categories_that_a_user_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_items, "K", 1)
    cases = [Case(["0", "2", "4", "1"], {"8"}), Case(["1", "3"], {"8"})]
    assert by_category(data(), {"7", "8"}, cases).tolist() == [1.0, 0.0]
