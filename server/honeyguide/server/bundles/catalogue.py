"""Keeps a bundle's items: their ids, titles, categories and popularity; turns filters into rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk import Categories
from honeyguide.sdk.manifest import vocabulary_hash

__all__ = ["MAX_TITLE_BYTES", "Catalogue", "ItemFilter", "ItemNames"]

Rows = NDArray[np.int32]

MAX_TITLE_BYTES = 500
"""Bytes of a title in an answer; a longer one is cut. So 1,000 items, each explained by 3, stay below 4 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemFilter:
    """Limits on which items may be answered; the parts are combined with "and"."""

    exclude: Sequence[str] = ()
    """Items never to answer."""
    allow: Sequence[str] = ()
    """When not empty, only these."""
    any_categories: Sequence[str] = ()
    """When not empty, only items with at least one of these."""
    ignore_category_case: bool = False
    """Whether the categories are matched without regard to case."""


class ItemNames(Protocol):
    """Names of items by row."""

    def __len__(self) -> int: ...

    def item_ids(self, rows: Rows) -> list[str]:
        """Returns the ids of rows."""
        ...

    def titles(self, rows: Rows) -> list[str]:
        """Returns the titles of rows, "" where there is none."""
        ...


class Catalogue:
    """Items by row; row i is row i of the item vectors."""

    def __init__(
        self,
        item_ids: Sequence[str],
        titles: Sequence[str],
        popularity: NDArray[np.int64],
        categories: Mapping[str, Rows],
    ) -> None:
        self._ids = np.array(item_ids, dtype=object)
        self._titles = np.array(titles, dtype=object)
        self._row_of = {item_id: row for row, item_id in enumerate(item_ids)}
        self._categories = categories
        pairs = [np.stack([rows, np.full_like(rows, code)]) for code, rows in enumerate(categories.values())]
        items, codes = np.concatenate([np.empty((2, 0), np.int32), *pairs], axis=1)
        order = np.lexsort((codes, items))
        offsets = np.searchsorted(items[order], np.arange(len(item_ids) + 1)).astype(np.int64)
        self.categories = Categories(offsets, codes[order])
        """Each item's categories as numbers."""
        self.popular_order: Rows = np.argsort(-popularity, kind="stable").astype(np.int32)
        """(items,) rows, the most popular first."""
        self.popularity: NDArray[np.float32] = (popularity / max(int(popularity.max(initial=0)), 1)).astype(np.float32)
        """(items,) share of the most popular item's events, 0–1."""

    @classmethod
    def read(cls, content: bytes) -> Catalogue:
        """Reads the bytes of ``items.parquet``; raises what polars raises where they are no such table."""
        table = pl.read_parquet(content, columns=["item_id", "title", "categories", "popularity"])
        pairs = table.select("categories").with_row_index("row").explode("categories").drop_nulls()
        grouped = pairs.group_by("categories").agg(pl.col("row").cast(pl.Int32))
        return cls(
            table["item_id"].to_list(),
            _cut(table["title"].fill_null("")).to_list(),
            table["popularity"].to_numpy().astype(np.int64),
            {name: np.asarray(rows, np.int32) for name, rows in grouped.iter_rows()},
        )

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def unique(self) -> bool:
        """Whether no id appears twice."""
        return len(self._row_of) == len(self._ids)

    def vocabulary(self) -> str:
        """Returns the item ids' `vocabulary_hash`."""
        return vocabulary_hash(self._ids)

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """Returns (ids,) rows, -1 where the catalogue lacks the id."""
        return np.fromiter(map(self._row_of.get, item_ids, repeat(-1)), np.int32, len(item_ids))

    def item_ids(self, rows: Rows) -> list[str]:
        """Returns the ids of rows."""
        return self._ids[rows].tolist()  # type: ignore[no-any-return]  # an object array's list is untyped

    def titles(self, rows: Rows) -> list[str]:
        """Returns the titles of rows, "" where there is none."""
        return self._titles[rows].tolist()  # type: ignore[no-any-return]  # an object array's list is untyped

    def excluded(self, limit: ItemFilter) -> Rows:
        """Returns the rows of the items that the filter excludes."""
        rows = self.rows(limit.exclude)
        return rows[rows >= 0]

    def allowed(self, limit: ItemFilter) -> NDArray[np.bool_] | None:
        """Returns an (items,) mask of the items the filter allows, None where it allows all."""
        mask: NDArray[np.bool_] | None = None
        if limit.allow:
            rows = self.rows(limit.allow)
            mask = np.zeros(len(self), np.bool_)
            mask[rows[rows >= 0]] = True
        if limit.any_categories:
            inside = np.zeros(len(self), np.bool_)
            for name in limit.any_categories:
                for rows in self._in_category(name, limit):
                    inside[rows] = True
            mask = inside if mask is None else mask & inside
        return mask

    def unknown_categories(self, limit: ItemFilter | None) -> tuple[str, ...]:
        """Returns the filter's categories that no item has, in its order."""
        if limit is None or not limit.any_categories:
            return ()
        return tuple(name for name in limit.any_categories if not self._in_category(name, limit))

    def _in_category(self, name: str, limit: ItemFilter) -> Sequence[Rows]:
        """Returns the rows of each category that the name means; none where it means none."""
        if limit.ignore_category_case:
            return [self._categories[each] for each in self._spellings.get(name.casefold(), ())]
        return [self._categories[name]] if name in self._categories else ()

    @cached_property
    def _spellings(self) -> Mapping[str, Sequence[str]]:
        """Names of categories by what they are without case."""
        spellings: dict[str, list[str]] = {}
        for name in self._categories:
            spellings.setdefault(name.casefold(), []).append(name)
        return spellings


def _cut(titles: pl.Series) -> pl.Series:
    """Cuts long titles between two characters."""
    long = (titles.str.len_bytes() > MAX_TITLE_BYTES).arg_true()
    if not len(long):
        return titles
    whole = (title.encode()[: MAX_TITLE_BYTES - 3].decode(errors="ignore") + "…" for title in titles[long])
    return titles.scatter(long, list(whole))
