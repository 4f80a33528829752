"""Reads events of several users as columns: what the store keeps of them, and what their requests bring along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import DataSpec
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers, TypeNumbers
from honeyguide.server.events.store import EventStore, StoredHistory

__all__ = ["EventColumns", "InlineHistory", "inline_columns", "stored_columns"]

Long = NDArray[np.int64]
Int = NDArray[np.int32]
Float = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(slots=True)  # not frozen, as one is made for every request: that takes four times as long
class InlineHistory:
    """Events that a request brings along, oldest first, as columns."""

    item_ids: Sequence[str]
    times_ms: Long | None = None
    """(events,) or None where the request does not say."""
    event_types: Sequence[str] = ()
    """As long as ``item_ids``, or empty."""
    features: Mapping[str, Float] = field(default_factory=dict)
    """Raw columns by name, NaN: not known."""


class EventColumns(NamedTuple):
    """Events of several users, one user after the other, as (events,) columns."""

    rows: Int
    """-1 where the catalogue lacks the item."""
    times_ms: Long | None
    """None where the model knows no times."""
    event_types: Int | None
    """None where the model knows no types."""
    dislikes: Flags | None
    """Which events say that an item is disliked; None where no type does."""
    features: Mapping[str, Float]
    """Normalised."""

    def take(self, events: Long | Flags) -> EventColumns:
        """Returns the given events."""
        return EventColumns(
            self.rows[events],
            None if self.times_ms is None else self.times_ms[events],
            None if self.event_types is None else self.event_types[events],
            None if self.dislikes is None else self.dislikes[events],
            {name: column[events] for name, column in self.features.items()},
        )

    def joined(self, other: EventColumns) -> EventColumns:
        """Returns these events, then others that are of the same model."""

        def column(own: Any, more: Any) -> Any:
            return None if own is None else np.concatenate([own, more])

        return EventColumns(
            column(self.rows, other.rows),
            column(self.times_ms, other.times_ms),
            column(self.event_types, other.event_types),
            column(self.dislikes, other.dislikes),
            {name: column(values, other.features[name]) for name, values in self.features.items()},
        )


def stored_columns(
    histories: Sequence[StoredHistory],
    store: EventStore,
    numbers: StoreNumbers,
    spec: DataSpec,
    negative: TypeNumbers | None,
) -> EventColumns:
    """Reads one or more histories of a store, as a model whose data is ``spec`` sees them.

    Raises `Unavailable` where the store cannot say what its numbers mean, `IndexError` where they mean nothing.
    """

    def column(name: str) -> NDArray[Any]:
        columns = [*map(attrgetter(name), histories)]
        return columns[0] if len(columns) == 1 else np.concatenate(columns)

    types = column("event_types") if spec.event_types or negative is not None else None
    return EventColumns(
        numbers.rows(column("items"), store.item_ids),
        column("times_ms") if spec.has_time else None,
        numbers.types(types, store.event_types) if types is not None and spec.event_types else None,
        negative.types(types, store.event_types) > 0 if types is not None and negative is not None else None,
        {scaler.name: scaler(column(scaler.name)) for scaler in spec.features},
    )


def inline_columns(
    histories: Sequence[InlineHistory],
    lengths: Sequence[int],
    moments: Long | None,
    catalogue: Catalogue,
    numbers: StoreNumbers,
    spec: DataSpec,
    negative: TypeNumbers | None,
) -> EventColumns:
    """Reads what requests bring along, as a model whose data is ``spec`` sees it.

    Args:
        histories: of the requests, with or without more than the items' ids.
        lengths: of the histories, in events.
        moments: of the requests; None where the model knows no times.
        catalogue: has the items.
        numbers: has the model's event types.
        spec: says what the model knows.
        negative: has the event types that say that an item is disliked.
    """
    rows = catalogue.rows([*chain.from_iterable([history.item_ids for history in histories])])
    # Events whose time the request does not say happened at its moment, as far as anyone knows.
    times = None if moments is None else moments.repeat(lengths)
    types = np.zeros(rows.size, np.int32) if spec.event_types else None
    dislikes = None if negative is None else np.zeros(rows.size, np.bool_)
    raw: dict[str, Float] = {}
    stop = 0
    for history, length in zip(histories, lengths, strict=True):
        start, stop = stop, stop + length
        if times is not None and history.times_ms is not None:
            times[start:stop] = history.times_ms
        if types is not None and history.event_types:
            types[start:stop] = numbers.names(history.event_types)
        if dislikes is not None and negative is not None and history.event_types:
            dislikes[start:stop] = negative.names(history.event_types) > 0
        if history.features:  # most have none
            for name, values in history.features.items():
                if name not in raw:
                    raw[name] = np.full(rows.size, np.nan, np.float32)
                raw[name][start:stop] = values
    features = {
        scaler.name: scaler(raw[scaler.name]) if scaler.name in raw else scaler.missing.repeat(rows.size)
        for scaler in spec.features
    }
    return EventColumns(rows, times, types, dislikes, features)
