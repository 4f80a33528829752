"""Reads numbers and texts out of raw columns, and knows which values mean that there is none."""

from __future__ import annotations

import polars as pl

from honeyguide.training.preparation.conditions import is_number
from honeyguide.training.preparation.ids import MISSING_WORDS

__all__ = ["Values"]


class Values:
    """How the values of a file are written."""

    def __init__(self, decimal: str, missing: tuple[str, ...], missing_words: bool) -> None:
        self._decimal = decimal
        self._none = ["", *missing, *(MISSING_WORDS if missing_words else ())]
        self._none_numbers = [float(value) for value in missing if is_number(value)]

    def text(self, values: pl.Series) -> pl.Series:
        """Returns a column as text without spaces around, null where a value is missing."""
        return self.parts(values)[0]

    def parts(self, values: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Returns a column as text without spaces around, and as float64 that is null where it is no finite number.

        Both are null where a value is missing; a float NaN is.
        """
        if values.dtype.is_numeric() or values.dtype == pl.Boolean:
            number = values.cast(pl.Float64)
            none = number.is_nan() | number.is_in(self._none_numbers)
            number = number.set(none.fill_null(True), None)
            text = values.cast(pl.String).set(number.is_null(), None)
            return text, number.set((~number.is_finite()).fill_null(False), None)
        text = values.cast(pl.String).str.strip_chars()
        text = text.set(text.is_in(self._none).fill_null(True), None)
        if values.dtype.is_temporal():
            return text, pl.Series([None], dtype=pl.Float64).new_from_index(0, len(values))
        number = text.to_frame("t").select(self.number_of(pl.col("t"))).to_series()
        if self._none_numbers and (none := number.is_in(self._none_numbers).fill_null(False)).any():
            text, number = text.set(none, None), number.set(none, None)
        return text, number

    def number_of(self, text: pl.Expr) -> pl.Expr:
        """Returns float64, null where a text is no finite number."""
        plain = text
        if self._decimal == ",":  # 1.200 is no number then: it may mean 1200
            plain = pl.when(~text.str.contains(".", literal=True)).then(text.str.replace(",", ".", literal=True))
        number = plain.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)

    def column(self, values: pl.Series) -> pl.Series:
        """Returns a column as float64 with NaN where all its values are numbers, else as text with "" for none."""
        text, number = self.parts(values)
        given = text.is_not_null()
        if values.dtype.is_temporal() or not given.any() or (given & number.is_null()).any():
            return text.fill_null("")
        return number.fill_null(float("nan"))
