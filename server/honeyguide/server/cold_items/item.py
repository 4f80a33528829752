"""Says what is known of an item that no catalogue has, as values, as text for the disk, and as a table for models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

import numpy as np

from honeyguide.sdk import ItemTable

__all__ = ["ColdItem", "as_table", "digest_of"]


@dataclass(frozen=True)  # without slots, for the cached property
class ColdItem:
    """Item, and what is known of it."""

    item_id: str
    title: str = ""
    categories: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    """By the name of the column."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """By the name of the column."""
    vectors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """By the name of the column."""

    def to_text(self) -> str:
        """Returns it as JSON; equal items give equal texts."""
        said = {**vars(self)}
        said.pop("key", None)
        return json.dumps(said, ensure_ascii=False, sort_keys=True, allow_nan=False)

    @cached_property
    def key(self) -> bytes:
        """The same for items that say the same, and short: texts of thousands of items fill hundreds of megabytes."""
        return digest_of(self.to_text())

    @classmethod
    def from_text(cls, text: str) -> ColdItem:
        """Reads what `to_text` wrote.

        Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for anything else.
        """
        given = json.loads(text)
        item = cls(**{**given, "categories": tuple(given["categories"])})
        vectors = item.vectors.values()
        if not (
            item.item_id
            and _are((item.item_id, item.title, *item.categories, *item.texts.values()), str)
            and _are(item.numbers.values(), int, float)
            and _are(vectors, list)
            and all(_are(vector, int, float) for vector in vectors)
        ):
            raise TypeError(f"{item.item_id!r} has a value of another kind")
        vars(item)["key"] = digest_of(text)
        return item


def _are(values: Iterable[object], *kinds: type) -> bool:
    return set(map(type, values)) <= set(kinds)


def digest_of(text: str) -> bytes:
    """Returns what stands for a text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def as_table(items: Sequence[ColdItem]) -> ItemTable:
    """Returns the items as models take them: what is missing is "", NaN, or a row of NaN.

    Raises `ValueError` naming the column where vectors of one name differ in their length.
    """
    texts = {name for item in items for name in item.texts}
    numbers = {name for item in items for name in item.numbers}
    vectors = {name: len(vector) for item in items for name, vector in item.vectors.items()}
    for item in items:
        for name, vector in item.vectors.items():
            if len(vector) != vectors[name]:
                raise ValueError(f"vectors {name!r} of {len(vector)} and of {vectors[name]} numbers")
    return ItemTable.from_lists(
        [item.item_id for item in items],
        titles=[item.title for item in items],
        categories=[item.categories for item in items],
        texts={name: [item.texts.get(name, "") for item in items] for name in texts},
        numbers={name: [item.numbers.get(name, np.nan) for item in items] for name in numbers},
        vectors={name: [item.vectors.get(name, [np.nan] * size) for item in items] for name, size in vectors.items()},
    )
