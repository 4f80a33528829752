"""Lays out what is known of items as arrays: the vector of their text, their attributes, numbers, brought vectors."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.models.content_based.text_encoder import ENCODER, TEXT_WIDTH, TextEncoder
from honeyguide.sdk import Arrays, DataSpec, ItemTable, Model, TensorSpec
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.items import TEXT_VECTOR

if TYPE_CHECKING:
    from honeyguide.models.content_based.item_features import ItemFeatures

__all__ = ["BUCKETS", "KINDS", "ContentModel", "ItemContent"]

KINDS = ("text", "words", "content")
"""What items can be known by: what their text means; its words; or their attributes, numbers and brought vectors."""
BUCKETS = 8192
"""Numbers that attributes are spread over by their hash, so that new ones have one too; 0 is none."""
SLOTS = 32
"""Attributes of an item that count, at most."""
_WORD = re.compile(r"\w+(?:'\w+)*")
_OF_WORDS = "\0word"
"""Stands for a column's name where a word is the attribute."""


class ItemContent:
    """Layout of what is known of items, for networks to read: the item graph's inputs."""

    def __init__(self, kinds: Sequence[str], columns: Sequence[str], encoder: str, data: DataSpec) -> None:
        """Takes which of `KINDS` count, and which kept columns beside title and categories.

        Where no column is named, all count for "content" and none for "text" and "words". Raises `ConfigError` for a
        kind or a column that there is not.
        """
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise ConfigError(f"option 'items' is {','.join(kinds)}; {unknown[0]!r} is none of {', '.join(KINDS)}")
        there = {column.name: column for column in data.item_columns}
        if unknown := [name for name in columns if name not in there]:
            raise ConfigError(
                f"the data set keeps no column {unknown[0]!r} of its items; it keeps: {', '.join(there) or 'none'}; "
                "prepare it with --item-columns or --item-vectors, or choose another column"
            )
        named = [there[name] for name in columns]
        self._text, self._words = "text" in kinds, "words" in kinds
        self._texts = [column.name for column in named if column.kind == "text"]
        self._content = "content" in kinds
        counting = (named or list(there.values())) if self._content else []
        self._labels = [column.name for column in counting if column.kind == "text"]
        self._numbers = [column.name for column in counting if column.kind == "number"]
        self._vectors = {column.name: column.width for column in counting if column.kind == "vector"}
        self._encode = TextEncoder(encoder)

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Describes what `encode` returns; nothing where nothing counts."""
        specs = [TensorSpec("text", "float32", ("batch", TEXT_WIDTH))] if self._text else []
        if self._content or self._words:
            specs.append(TensorSpec("attributes", "int64", ("batch", SLOTS)))
        if self._numbers:
            specs.append(TensorSpec("numbers", "float32", ("batch", len(self._numbers))))
        for place, width in enumerate(self._vectors.values()):
            specs.append(TensorSpec(f"vector_{place}", "float32", ("batch", width)))
        return tuple(specs)

    def encode(self, items: ItemTable) -> Arrays:
        """Returns these arrays; of what is missing, an attribute or a text is 0, a number or a vector NaN."""
        arrays: dict[str, NDArray[Any]] = {}
        if self._text:
            arrays["text"] = self._text_vectors(items)
        if self._content or self._words:
            arrays["attributes"] = _attributes(items, self._labels, self._texts if self._words else None)
        blank = np.full(len(items), np.nan)
        if self._numbers:
            columns = [_column(items.numbers, name, blank) for name in self._numbers]
            arrays["numbers"] = np.stack(columns, 1).astype(np.float32)
        for place, (name, width) in enumerate(self._vectors.items()):
            vectors = _column(items.vectors, name, np.full((len(items), width), np.nan, np.float32))
            if vectors.shape != (len(items), width):
                raise ConfigError(f"vectors {name!r} have shape {vectors.shape}; they must have (items, {width})")
            arrays[f"vector_{place}"] = vectors
        return arrays

    def _text_vectors(self, items: ItemTable) -> NDArray[np.float32]:
        """Returns (items, 512) vectors: those that were brought, and of the others those of their texts."""
        texts = self._texts_of(items)
        if TEXT_VECTOR not in tuple(items.vectors):
            return self._encode(texts)
        brought = items.vectors[TEXT_VECTOR]
        if brought.shape != (len(items), TEXT_WIDTH):
            raise ConfigError(f"{TEXT_VECTOR} has shape {brought.shape}; it must be (items, {TEXT_WIDTH})")
        vectors = brought.astype(np.float32)
        if len(missing := np.flatnonzero(np.isnan(vectors).any(1))):
            vectors[missing] = self._encode([texts[row] for row in missing])
        return vectors

    def _texts_of(self, items: ItemTable) -> list[str]:
        """Returns each item's title, categories and further texts, one after the other."""
        names, (offsets, codes) = items.category_names, (items.categories.offsets, items.categories.codes)
        blank = np.full(len(items), "", dtype=object)
        columns = [_column(items.texts, name, blank) for name in self._texts]
        read = self._encode.read
        return [
            ". ".join(
                filter(
                    None,
                    (
                        read(str(items.titles[row]).strip()),
                        ", ".join(read(names[code]) for code in codes[offsets[row] : offsets[row + 1]]),
                        *(read(str(column[row]).strip()) for column in columns),
                    ),
                )
            )
            for row in range(len(items))
        ]


class ContentModel(Model):
    """Model whose item vectors are made of what is known of the items, as far as its options say so.

    Its Config has ``items``, ``item_columns`` and ``encoder``, as `ItemContent` takes them.
    """

    def __init__(self, config: Any, data: DataSpec) -> None:
        super().__init__(config, data)
        self.content = ItemContent(config.items, config.item_columns, getattr(config, "encoder", ENCODER), data)

    def known(self) -> ItemFeatures | None:
        """Builds what a network knows of the items; None where nothing counts."""
        from honeyguide.models.content_based.item_features import ItemFeatures

        return ItemFeatures(self.content, self.data.items) if self.content.inputs() else None

    def item_inputs(self) -> tuple[TensorSpec, ...]:
        """Describes the arrays of `honeyguide.models.content_based.item_content`."""
        return self.content.inputs()

    def encode_items(self, items: ItemTable) -> Arrays:
        """Lays out what is known of the items."""
        return self.content.encode(items)


def _attributes(items: ItemTable, columns: Sequence[str], texts: Sequence[str] | None) -> NDArray[np.int64]:
    """Returns (items, slots) the numbers of each item's attributes: its labels, its categories, and words.

    The words are those of the title and of the columns ``texts``, and each two that stand together; None: no words.
    """
    categories = np.array([_bucket("", name) for name in items.category_names], np.int64)
    offsets, codes = items.categories.offsets, items.categories.codes
    blank = np.full(len(items), "", dtype=object)
    labels = [(name, _column(items.texts, name, blank)) for name in columns]
    written = [] if texts is None else [items.titles, *(_column(items.texts, name, blank) for name in texts)]
    table = np.zeros((len(items), SLOTS), np.int64)
    for row in range(len(items)):
        own = [*(_bucket(name, str(values[row])) for name, values in labels if str(values[row]).strip())]
        own += categories[codes[offsets[row] : offsets[row + 1]]].tolist()
        for text in written:
            words = _WORD.findall(str(text[row]).casefold())
            own += [_bucket(_OF_WORDS, word) for word in (*words, *map(" ".join, pairwise(words)))]
        distinct = list(dict.fromkeys(own))[:SLOTS]
        table[row, : len(distinct)] = distinct
    return table


def _bucket(column: str, value: str) -> int:
    """Returns the number of an attribute, 1 to `BUCKETS`: the same in every process."""
    return 1 + zlib.crc32(f"{column}\0{value.strip().casefold()}".encode()) % BUCKETS


def _column(columns: Any, name: str, missing: NDArray[Any]) -> NDArray[Any]:
    """Returns a column; of items that come without it, one of missing values."""
    return missing if (column := columns.get(name)) is None else column
