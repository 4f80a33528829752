"""Cleans ids, the same way wherever they come from: an event log or an items file, text or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.sdk.event import MAX_ID_BYTES

__all__ = ["MISSING_WORDS", "IdCodes", "clean_ids", "ids_as_text"]

MISSING_WORDS = ("nan", "NaN", "NAN", "null", "NULL", "None", "<NA>", "\\N")
"""What programs write where a value is missing; a blank always is."""
_EXACT: dict[Any, int] = {pl.Float32: 2**24, pl.Float64: 2**53}
"""From here on not every whole number has a float of its own."""
MISSING, TOO_LONG = np.uint32(2**32 - 1), np.uint32(2**32 - 2)
"""Stand in the place of a code where a row has no id, or one that no request can name."""


def ids_as_text(ids: pl.Series, file: str, option: str) -> pl.Series:
    """Returns ids of any type as text; NaN and infinity become null, 17850.0 becomes "17850".

    Raises:
        DataError: a float is too large to be sure which whole number it was.
    """
    if not ids.dtype.is_float():
        return ids.cast(pl.String)
    exact = _EXACT.get(ids.dtype, 2**11)
    given = ids.set(~ids.is_finite(), None)
    if (large := given.abs() >= exact).any():
        raise DataError(
            f"{given.filter(large)[0]!r} is a number of more digits than a {ids.dtype} holds, so ids may have merged",
            file=file,
            column=ids.name,
            remedy=f"write the column as whole numbers or text, or choose another --{option}",
        )
    whole = (given == given.round()).fill_null(True)
    return given.set(~whole, None).cast(pl.Int64).cast(pl.String).zip_with(whole, given.cast(pl.String))


def clean_ids(text: pl.Series, *, missing_words: bool) -> pl.Series:
    """Returns ids without spaces around them and ".0" behind whole numbers; null where there is none."""
    stripped = text.str.strip_chars().str.replace(r"^([+-]?\d+)\.0+$", "$1")
    none = stripped.is_in(["", *(MISSING_WORDS if missing_words else ())])
    return stripped.set(none.fill_null(True), None)


class IdCodes:
    """Numbering of ids as they come, block by block; in the end they are cleaned and put in order.

    So each distinct text is cleaned once, however many rows have it.
    """

    def __init__(self, *, missing_words: bool, most_bytes: int = MAX_ID_BYTES) -> None:
        self._missing_words = missing_words
        self._most_bytes = most_bytes
        self._type = pl.Categorical(pl.Categories.random())
        self._new: list[pl.Series] = []  # each block's new ids; polars forgets a number that no series holds
        self._known = 0

    def __call__(self, ids: pl.Series) -> NDArray[np.uint32]:
        """Returns the numbers of a block's ids, from 0."""
        numbered = ids.fill_null("").cast(self._type)
        distinct = numbered.unique()
        new = distinct.filter(distinct.to_physical() >= self._known)
        if new.len():
            self._known += new.len()
            self._new.append(new)
        return numbered.to_physical().cast(pl.UInt32).to_numpy()

    def finish(self) -> tuple[pl.Series, NDArray[np.uint32]]:
        """Returns the clean ids in order, shorter ones first so that 9 stands before 10; and each number's place there.

        A place is `MISSING` or `TOO_LONG` where that is so.
        """
        numbered = pl.concat(self._new) if self._new else pl.Series([], dtype=self._type)
        clean = clean_ids(numbered.cast(pl.String), missing_words=self._missing_words)
        long = (clean.str.len_bytes() > self._most_bytes).fill_null(False)
        ids = clean.filter(~long).drop_nulls().unique()
        ids = ids.to_frame("id").sort(pl.col("id").str.len_bytes(), "id")["id"]
        known = pl.DataFrame({"id": ids, "place": np.arange(len(ids), dtype=np.uint32)})
        own = clean.to_frame("id").join(known, on="id", how="left", maintain_order="left")["place"]
        places = np.empty(len(clean), np.uint32)
        places[numbered.to_physical().to_numpy()] = np.where(long, TOO_LONG, own.fill_null(MISSING).to_numpy())
        return ids, places
