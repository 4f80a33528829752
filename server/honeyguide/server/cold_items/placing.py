"""Places the added items among those of each model that serves, as items come and go and as models do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import structlog
from numpy.typing import NDArray

from honeyguide.sdk.errors import ConfigError, FailedPrecondition, HoneyguideError, InvalidArgument, Unavailable
from honeyguide.sdk.items import TEXT_VECTOR
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.cold_items.item import ColdItem, as_table
from honeyguide.server.cold_items.segment import Segment
from honeyguide.server.cold_items.store import ColdItemStore

__all__ = ["ColdItems", "Upserted"]

_CHUNK = 256
"""Items that are placed at once."""
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of the items of a call."""

    added: int
    """How many are new; the others are replaced."""
    bundles: Sequence[RetrievingBundle]
    """Those that place them."""
    known: Sequence[str]
    """Which of the items a catalogue of these has already."""
    unknown_columns: Sequence[str]
    """Columns of the items that none of these was trained with, or that are another kind of value there."""
    failures: Mapping[tuple[str, int], str]
    """By name and version, why other bundles could not place them."""


class ColdItems:
    """The added items of one server. Placing takes turns; what a batch reads is a finished segment."""

    def __init__(self, store: ColdItemStore, most: int) -> None:
        """Reads nothing yet.

        Args:
            store: where they are kept.
            most: how many there may be.
        """
        self._store, self._most = store, most
        self._items: list[ColdItem] = []
        self._ids: frozenset[str] = frozenset()
        self._has_read = False
        self._bundles: WeakSet[RetrievingBundle] = WeakSet()
        self._segments: WeakKeyDictionary[LoadedBundle, Segment] = WeakKeyDictionary()
        self._placed: WeakKeyDictionary[LoadedBundle, dict[bytes, Vector]] = WeakKeyDictionary()
        self._refused: WeakKeyDictionary[LoadedBundle, set[bytes]] = WeakKeyDictionary()
        self._turn = threading.Lock()
        self._log = structlog.get_logger("honeyguide.cold_items")

    def listed(self) -> Sequence[ColdItem]:
        """Returns the items as they are now, the newest first; raises `Unavailable` where they never could be read."""
        if not self._has_read:
            with self._turn:
                self._fill_all(self._store.read())
        return self._items[::-1]

    def __contains__(self, item_id: str) -> bool:
        """Says whether an item was added, whatever places it."""
        return item_id in self._ids

    def segment(self, bundle: LoadedBundle) -> Segment | None:
        """Returns a bundle's segment, as it is now; None: the bundle places none, or there are none."""
        return self._segments.get(bundle) if self._items else None

    def refresh(self) -> None:
        """Reads what there is and places it for each bundle; where one cannot, a line in the log says why.

        So it does where the items cannot be read: then what was known stays.
        """
        with self._turn, contextlib.suppress(Unavailable):  # the store has told
            self._fill_all(self._store.read())

    def add(self, bundle: LoadedBundle) -> None:
        """Places the items for a bundle that is about to serve, and from now on as long as there is one to serve it."""
        if isinstance(bundle, RetrievingBundle) and bundle.places:
            with self._turn:
                self._bundles.add(bundle)
                self._fill(bundle, self._items)

    def upsert(self, items: Sequence[ColdItem]) -> Upserted:
        """Places and keeps items, all or none.

        Raises:
            FailedPrecondition: where no bundle places items, or there would be too many.
            NoEncoder: where no bundle can do without an encoder that is not installed.
            InvalidArgument: where a bundle cannot make anything of what is said of them.
            Unavailable: where they cannot be kept.
        """
        if not self._bundles:
            raise FailedPrecondition(
                "no model that serves places new items: train one that does, such as text or content, and load it"
            )
        with self._turn:
            there = {item.item_id for item in self._items}
            if len(there | {item.item_id for item in items}) > max(self._most, len(there)):
                raise FailedPrecondition(
                    f"{len(there):,} items were added, and at most {self._most:,} may be (max_cold_items): delete "
                    "some, or train a model that has them in its catalogue"
                )
            errors: dict[tuple[str, int], HoneyguideError] = {}
            able = []
            for bundle in sorted(self._bundles, key=lambda bundle: bundle.key):
                try:
                    self._place(bundle, items)
                    able.append(bundle)
                except HoneyguideError as error:
                    errors[bundle.key] = error
            if not able:
                raise next(iter(errors.values()))
            added = self._store.upsert(items)
            self._fill_all(self._store.items)
        ids = [item.item_id for item in items]
        rows = np.array([bundle.catalogue.rows(ids) for bundle in able])  # (bundles, items)
        return Upserted(
            added,
            able,
            known=[ids[place] for place in np.flatnonzero((rows >= 0).any(0)).tolist()],
            unknown_columns=_unknown_columns(items, able),
            failures={key: error.message for key, error in errors.items()},
        )

    def delete(self, item_ids: Sequence[str]) -> list[str]:
        """Takes items out; returns the ids of which nothing was added. Raises `Unavailable`."""
        with self._turn:
            missing = self._store.delete(item_ids)
            self._fill_all(self._store.items)
        return missing

    def _fill_all(self, items: list[ColdItem]) -> None:
        for bundle in list(self._bundles):
            self._fill(bundle, items)
        self._items, self._ids, self._has_read = items, frozenset(item.item_id for item in items), True

    def _fill(self, bundle: RetrievingBundle, items: Sequence[ColdItem]) -> None:
        """Makes a bundle's segment of what its catalogue lacks and it can place."""
        rows = bundle.catalogue.rows([item.item_id for item in items]).tolist()
        fresh = self._placeable(bundle, [item for item, row in zip(items, rows, strict=True) if row < 0])
        if fresh:
            self._segments[bundle] = Segment.of(bundle.catalogue, fresh, self._place(bundle, fresh))
        else:
            self._segments.pop(bundle, None)

    def _placeable(self, bundle: RetrievingBundle, items: list[ColdItem]) -> list[ColdItem]:
        """Returns those of the items that a bundle can place, whatever others among them are like."""
        keys = {item.key for item in items}
        refused = self._refused[bundle] = self._refused.get(bundle, set()) & keys
        before, problem = len(refused), ""
        waiting, able = [[item for item in items if item.key not in refused]], list[ColdItem]()
        while waiting:
            part = waiting.pop()
            try:
                self._place(bundle, part)
                able += part
            except HoneyguideError as error:
                problem = error.message
                if len(part) == 1:
                    refused.add(part[0].key)
                else:
                    middle = len(part) // 2
                    waiting += [part[middle:], part[:middle]]  # the first half comes first
        if new := len(refused) - before:
            name, version = bundle.key
            self._log.warning("added items are not placed", model=name, version=version, items=new, problem=problem)
        return able

    def _place(self, bundle: RetrievingBundle, items: Sequence[ColdItem]) -> Vector:
        """Returns (items, d) vectors; what was placed before and says the same is not placed again."""
        known = self._placed.get(bundle, {})
        missing = [item for item in items if item.key not in known]
        placed = {item.key: known[item.key] for item in items if item.key in known}
        for start in range(0, len(missing), _CHUNK):
            part = missing[start : start + _CHUNK]
            placed |= zip((item.key for item in part), _vectors(bundle, part), strict=True)
        self._placed[bundle] = {**known, **placed} if len(known) <= 2 * self._most else placed
        return np.array([placed[item.key] for item in items], np.float32).reshape(len(items), bundle.manifest.dimension)


def _unknown_columns(items: Sequence[ColdItem], bundles: Sequence[RetrievingBundle]) -> list[str]:
    """Returns the columns that none of the bundles' data had, or none as what they are here, sorted."""
    given = {("text", name) for item in items for name in item.texts}
    given |= {("number", name) for item in items for name in item.numbers}
    given |= {("vector", name) for item in items for name in item.vectors}
    read = {(column.kind, column.name) for bundle in bundles for column in bundle.manifest.data.item_columns}
    return sorted({name for _, name in given - read - {("vector", TEXT_VECTOR)}})


def _vectors(bundle: RetrievingBundle, items: Sequence[ColdItem]) -> Vector:
    """Runs a bundle's item graph; raises `InvalidArgument` where it fails, and what the model raises."""
    try:
        vectors = bundle.place(as_table(items))
    except ConfigError as error:
        raise InvalidArgument(
            "items", f"{len(items)} items", f"items that model {bundle.key[0]!r} can place: {error.message}"
        ) from error
    except HoneyguideError:
        raise
    except Exception as error:  # boundary: a plugin's code, and shapes that clients send
        raise InvalidArgument(
            "items", f"{len(items)} items", f"items that model {bundle.key[0]!r} can place ({error})"
        ) from error
    with np.errstate(over="ignore"):
        lengths = np.square(vectors).sum(1)  # where one is finite, so is what is made of it and a user's vector
    if not np.isfinite(lengths).all():
        raise InvalidArgument("items", f"{len(items)} items", f"items that model {bundle.key[0]!r} can place")
    return vectors
