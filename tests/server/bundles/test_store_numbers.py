"""The event store's numbers become a bundle's rows and types, also those that came later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers


def test_numbers_are_learned_when_they_are_first_met_and_asked_for_once() -> None:
    names = ["b", "x"]
    asked: list[int] = []

    def item_ids(start: int) -> Sequence[str]:
        asked.append(start)
        return names[start:]

    numbers = StoreNumbers(Catalogue(["a", "b"], ["", ""], np.ones(2, np.int64), {}), ("view",))
    assert numbers.rows(np.array([1, 0, 0]), item_ids).tolist() == [-1, 1, 1]
    names.append("a")
    assert numbers.rows(np.array([2]), item_ids).tolist() == [0]
    assert numbers.rows(np.array([0, 2]), item_ids).tolist() == [1, 0]
    assert asked == [0, 2]
    assert numbers.types(np.array([2, 0, 1], np.int32), lambda start: ["", "buy", "view"][start:]).tolist() == [1, 0, 0]
