"""Translates the event store's numbers of items and event types into a bundle's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from honeyguide.server.bundles.catalogue import Catalogue

__all__ = ["StoreNumbers", "TypeNumbers"]

Long = NDArray[np.int64]
Int = NDArray[np.int32]


class TypeNumbers:
    """Translation of the event store's numbers of types into places of a list; it learns them as it meets them."""

    def __init__(self, event_types: Sequence[str]) -> None:
        self.type_of = {name: place + 1 for place, name in enumerate(event_types)}
        """The place in the list plus 1, by event type; 0 is a type that is not in it."""
        self._types: Int = np.empty(0, np.int32)
        self._lock = threading.Lock()

    def types(self, numbers: Int, event_types: Callable[[int], Sequence[str]]) -> Int:
        """Returns the list's numbers of the store's event types."""
        if numbers.size and numbers.max() >= len(self._types):
            with self._lock:
                # A new array takes the place of the old one: readers in other threads keep a whole one.
                self._types = np.concatenate([self._types, self.names(event_types(len(self._types)))])
        return self._types[numbers]

    def names(self, event_types: Sequence[str]) -> Int:
        """Returns the list's numbers of event types by name."""
        return np.fromiter(map(self.type_of.get, event_types, repeat(0)), np.int32, len(event_types))


class StoreNumbers(TypeNumbers):
    """Translation of the event store's numbers, of items and of types, into one bundle's."""

    def __init__(self, catalogue: Catalogue, event_types: Sequence[str]) -> None:
        super().__init__(event_types)
        self._catalogue = catalogue
        self._rows: Int = np.empty(0, np.int32)

    def rows(self, numbers: Long, item_ids: Callable[[int], Sequence[str]]) -> Int:
        """Returns the catalogue rows of store numbers, -1 where the catalogue lacks the item."""
        if numbers.size and numbers.max() >= len(self._rows):
            with self._lock:
                self._rows = np.concatenate([self._rows, self._catalogue.rows(item_ids(len(self._rows)))])
        return self._rows[numbers]
