"""Says what a model may know of its data: sizes, features, and the figures that normalise them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DataSpec", "FeatureScaler", "ItemColumn"]


@dataclass(frozen=True)  # without slots, so that `missing` is worked out once
class FeatureScaler:
    """Normalisation of one event feature, in training and in serving alike: fill, clip, log, standardise."""

    name: str
    """The feature: dwell_seconds, clicks, quantity or value."""
    fill: float
    """Takes the place of a missing value (NaN), in the feature's own unit."""
    lower: float
    """Values below are raised to this, in the feature's own unit."""
    upper: float
    """Values above are lowered to this (winsorising), in the feature's own unit."""
    log: bool
    """Whether log(1 + x - lower) is taken after clipping."""
    mean: float
    """Subtracted then."""
    std: float
    """Divided by then; above 0."""

    def __call__(self, raw: NDArray[np.floating]) -> NDArray[np.float32]:
        """Returns the (events,) normalised feature; never NaN."""
        x = np.where(np.isnan(raw), self.fill, raw.astype(np.float64))
        x = np.clip(x, self.lower, self.upper)
        if self.log:
            x = np.log1p(x - self.lower)
        return ((x - self.mean) / self.std).astype(np.float32)

    @cached_property
    def missing(self) -> np.float32:
        """What a value that is not known comes to."""
        return np.float32(self(np.array([np.nan]))[0])


@dataclass(frozen=True, slots=True)
class ItemColumn:
    """Description of a column that `prepare` was told to keep of the items."""

    name: str
    """As `honeyguide.sdk.ItemTable` names it."""
    kind: str
    """"text", "number" or "vector"."""
    width: int = 1
    """Numbers of a vector; 1 for the others."""


@dataclass(frozen=True, slots=True)
class DataSpec:
    """Description of the data a model is trained on; it travels with the data set into the bundle."""

    items: int
    """Catalogue size, 1 or more."""
    repeats: bool
    """Whether users meet an item again (purchases do, films do not). Where they do, nothing seen is masked."""
    has_time: bool = False
    """Whether events have times."""
    event_types: tuple[str, ...] = ()
    """Known event types; the place in here plus 1 is what a model sees, 0 is unknown."""
    features: tuple[FeatureScaler, ...] = ()
    """The event features the data has."""
    item_columns: tuple[ItemColumn, ...] = ()
    """The columns that were kept of the items, beside title and categories."""
    fingerprint: str = ""
    """SHA-256 of the data set, 64 hexadecimal digits; "" in tests."""

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> DataSpec:
        """Builds a spec from what `dataclasses.asdict` made of one; raises `KeyError` or `TypeError` for others."""
        features = tuple(FeatureScaler(**figures) for figures in raw["features"])
        columns = tuple(ItemColumn(**column) for column in raw.get("item_columns", ()))
        types = tuple(raw["event_types"])
        spec = cls(**{**raw, "event_types": types, "features": features, "item_columns": columns})
        kinds = {"items": int, "repeats": bool, "has_time": bool, "fingerprint": str}
        figures = [value for scaler in features for name, value in dataclasses.asdict(scaler).items() if name != "name"]
        if (
            any(type(getattr(spec, name)) is not kind for name, kind in kinds.items())
            or spec.items < 1
            or not all(isinstance(text, str) for text in (*spec.event_types, *(scaler.name for scaler in features)))
            or not all(isinstance(figure, int | float) for figure in figures)
            or not all(isinstance(text, str) for column in columns for text in (column.name, column.kind))
            or not all(type(column.width) is int and column.width >= 1 for column in columns)
        ):
            raise TypeError("a field of it is of another type, or there are no items")
        return spec
