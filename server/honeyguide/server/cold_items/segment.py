"""Holds the added items as one model sees them: vectors beside its sealed index, ids, titles and categories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers
from honeyguide.server.cold_items.item import ColdItem

__all__ = ["JoinedNames", "Segment"]

Rows = NDArray[np.int32]
_Column = Callable[[Catalogue, Rows], list[str]]


class JoinedNames:
    """Ids and titles of a catalogue's items, and behind them those of the added ones: row ``len(catalogue)`` on."""

    def __init__(self, catalogue: Catalogue, added: Catalogue) -> None:
        self._catalogue, self._added = catalogue, added
        self._items = len(catalogue)

    def __len__(self) -> int:
        return self._items + len(self._added)

    def item_ids(self, rows: Rows) -> list[str]:
        """Returns the ids of rows."""
        return self._looked_up(rows, Catalogue.item_ids)

    def titles(self, rows: Rows) -> list[str]:
        """Returns the titles of rows, "" where there is none."""
        return self._looked_up(rows, Catalogue.titles)

    def _looked_up(self, rows: Rows, column: _Column) -> list[str]:
        there = rows < self._items
        found = np.empty(len(rows), object)
        found[there] = column(self._catalogue, rows[there])
        found[~there] = column(self._added, rows[~there] - self._items)
        return found.tolist()


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Added items that a catalogue lacks, the newest last; it never changes."""

    catalogue: Catalogue
    """Of these items alone, by row of the segment."""
    vectors: NDArray[np.float32]
    """(added, d), in the space of the model's items."""
    names: JoinedNames
    """Of the model's items and of these."""
    numbers: StoreNumbers
    """The event store's numbers in rows of the segment."""

    @classmethod
    def of(cls, catalogue: Catalogue, items: Sequence[ColdItem], vectors: NDArray[np.float32]) -> Segment:
        """Puts a segment together; ``items`` are not in the catalogue, one or more, and have these vectors."""
        rows: dict[str, list[int]] = {}
        for row, item in enumerate(items):
            for name in dict.fromkeys(item.categories):
                rows.setdefault(name, []).append(row)
        added = Catalogue(
            [item.item_id for item in items],
            [item.title for item in items],
            np.zeros(len(items), np.int64),
            {name: np.array(own, np.int32) for name, own in rows.items()},
        )
        return cls(added, vectors, JoinedNames(catalogue, added), StoreNumbers(added, ()))
