"""Says what is known of the items of a catalogue, by row: ids, titles, categories, and columns that were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.errors import ConfigError

__all__ = ["MAX_VECTOR", "TEXT_VECTOR", "Categories", "ItemTable"]

TEXT_VECTOR = "text_vector"
"""Column of `ItemTable.vectors` in which an item's text may come as the encoder's vector, so that none is needed."""

MAX_VECTOR = 4096
"""Numbers of a vector that a user brings at most, in prepared data as in a request."""

Texts = NDArray[np.object_]
Numbers = NDArray[np.float64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """Categories of each item of a catalogue."""

    offsets: NDArray[np.int64]
    """(items + 1,) item i is in categories ``codes[offsets[i]:offsets[i + 1]]``."""
    codes: NDArray[np.int32]
    """Categories as numbers from 0, ascending within an item, none of them twice."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """Catalogue by row: entry i of every column is catalogue row i. A reader never changes it."""

    ids: Texts
    """(items,) str, as clients name the items; all different."""
    titles: Texts
    """(items,) str, "" where there is none."""
    categories: Categories
    """The categories of each item, as numbers; an item may have none."""
    category_names: tuple[str, ...]
    """The name of each category; the place in here is its number."""
    texts: Mapping[str, Texts] = field(default_factory=dict)
    """By name, the text columns that `prepare` was told to keep: (items,) str, "" where a value is missing."""
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    """By name, the number columns that `prepare` was told to keep: (items,) float64, NaN where a value is missing."""
    vectors: Mapping[str, Vectors] = field(default_factory=dict)
    """By name, the vectors that `prepare` was given: (items, width) float32, a row of NaN where one is missing."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_lists(
        cls,
        ids: Sequence[str],
        *,
        titles: Sequence[str] = (),
        categories: Sequence[Sequence[str]] = (),
        texts: Mapping[str, Sequence[str]] | None = None,
        numbers: Mapping[str, Sequence[float]] | None = None,
        vectors: Mapping[str, Sequence[Sequence[float]]] | None = None,
    ) -> ItemTable:
        """Builds a table from Python's lists, an entry for each item; what is left out is empty."""
        codes, names = _number_categories(categories or [()] * len(ids))
        return cls(
            ids=np.array(ids, dtype=object),
            titles=np.array(titles or [""] * len(ids), dtype=object),
            categories=codes,
            category_names=names,
            texts={name: np.array(values, dtype=object) for name, values in (texts or {}).items()},
            numbers={name: np.array(values, np.float64) for name, values in (numbers or {}).items()},
            vectors={name: np.array(values, np.float32) for name, values in (vectors or {}).items()},
        )

    @classmethod
    def of_rows(cls, count: int) -> ItemTable:
        """Builds a table of ``count`` items of which nothing is known, called "0", "1" and so on."""
        return cls.from_lists([str(row) for row in range(count)])

    def text(self, name: str) -> Texts:
        """Returns a text column of `texts`; raises `ConfigError` naming those that exist."""
        return _column(name, "text", self.texts)

    def number(self, name: str) -> Numbers:
        """Returns a number column of `numbers`; raises `ConfigError` naming those that exist."""
        return _column(name, "number", self.numbers)

    def vector(self, name: str) -> Vectors:
        """Returns a column of `vectors`; raises `ConfigError` naming those that exist."""
        return _column(name, "vector", self.vectors)


def _column(name: str, kind: str, columns: Mapping[str, NDArray]) -> NDArray:  # type: ignore[type-arg]  # either kind
    if name in columns:
        return columns[name]
    flag = "--item-vectors" if kind == "vector" else "--item-columns"
    raise ConfigError(
        f"the data set keeps no {kind} column {name!r} of its items; it keeps: {', '.join(sorted(columns)) or 'none'}; "
        f"prepare it with {flag} {name}, or choose another column"
    )


def _number_categories(lists: Sequence[Sequence[str]]) -> tuple[Categories, tuple[str, ...]]:
    """Numbers categories in the order of their names."""
    names = tuple(sorted({name for own in lists for name in own}))
    codes = {name: code for code, name in enumerate(names)}
    rows = [sorted({codes[name] for name in own}) for own in lists]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return Categories(offsets, np.array([code for row in rows for code in row], np.int32)), names
