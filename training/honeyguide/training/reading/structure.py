"""Finds the rows in a piece of a text table, and the quote that makes no sense, without reading its fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["QuoteFault", "Rows", "rows_of"]

_LINE_END = 10
_BLANKS = (32, 9)


@dataclass(frozen=True, slots=True)
class QuoteFault:
    """Quote that does not open at the start of a field or close at the end of one."""

    row_start: int
    """Where the row begins in which the quote stands or was opened."""
    lines: int
    """Line ends of the piece before that row."""
    place: int
    """Where the quote stands."""
    field: int
    """Which field of the row it stands in, from 0."""
    problem: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a piece of text, one array entry each: blank lines are rows too, with one field of no length."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    """Where the line end stands that ends the row."""
    fields: NDArray[np.int64]
    lines: NDArray[np.int64] | None
    """Line ends of the piece before each row; None where that is 0, 1, 2, …"""
    line_count: int
    """Line ends up to the last row's end, those inside quotes too."""
    surplus_from: NDArray[np.int64]
    """Where the separator stands after which a row has more fields than ``width``; -1 where it has no more."""
    blanks: NDArray[np.int64]
    """Blanks between a quote and the separator beside it, which belong to no field."""
    fault: QuoteFault | None
    """The first one; rows end before the row that has it."""
    quoted: bool

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def size(self) -> int:
        """Bytes up to the end of the last row."""
        return int(self.ends[-1]) + 1 if len(self.ends) else 0


def rows_of(data: NDArray[np.uint8], separator: int, quote: int, width: int, *, last: bool) -> Rows:
    r"""Finds the rows that end inside a piece of text, which begins where a row does.

    Args:
        data: the piece; lines end in LF.
        separator: the byte between fields.
        quote: the byte around fields, -1 where there is none.
        width: how many fields a row may have.
        last: whether nothing follows; then a quote must not be open at the end.
    """
    marks = (data == separator) | (data == _LINE_END)
    if quote >= 0:
        marks |= data == quote
    places = np.flatnonzero(marks)
    kinds = data[places]
    is_quote = kinds == quote
    quoted = quote >= 0 and bool(is_quote.any())
    line_ends = places[kinds == _LINE_END]
    blanks = np.empty(0, np.int64)
    fault = None
    if quoted:
        inside = (np.cumsum(is_quote, dtype=np.uint8) & 1).astype(np.bool_)
        structural = ~inside & ~is_quote
        blanks, wrong, problem = _check_quotes(data, places[is_quote], separator, last=last)
        places, kinds = places[structural], kinds[structural]
        if wrong is not None:
            before = int(np.searchsorted(places, wrong))
            row_ends = np.flatnonzero(kinds[:before] == _LINE_END)
            first = int(row_ends[-1]) + 1 if len(row_ends) else 0
            start = int(places[first - 1]) + 1 if first else 0
            fault = QuoteFault(start, int(np.searchsorted(line_ends, start)), wrong, before - first, problem)
            places, kinds = places[:first], kinds[:first]
            blanks = blanks[blanks < start]
    at = np.flatnonzero(kinds == _LINE_END)
    ends = places[at]
    starts = np.concatenate((np.zeros(min(1, len(ends)), np.int64), ends[:-1] + 1))
    fields = np.diff(at, prepend=-1)
    line_count = int(np.searchsorted(line_ends, ends[-1])) + 1 if len(ends) else 0
    lines = np.searchsorted(line_ends, starts) if line_count != len(ends) else None
    surplus_from = np.full(len(ends), -1, np.int64)
    if (long := fields > width).any():
        surplus_from[long] = places[at[long] - fields[long] + width]
    size = int(ends[-1]) + 1 if len(ends) else 0
    return Rows(starts, ends, fields, lines, line_count, surplus_from, blanks[blanks < size], fault, quoted)


def _check_quotes(
    data: NDArray[np.uint8], quotes: NDArray[np.int64], separator: int, *, last: bool
) -> tuple[NDArray[np.int64], int | None, str]:
    """Checks that quotes stand around whole fields, and inside them in twos.

    Returns:
        The blanks to leave out around quoted fields; where the first quote or quoted field stands that makes no sense,
        None where all do; and what is wrong with it.
    """
    opening, closing = quotes[0::2], quotes[1::2]
    twin = np.zeros(len(opening), np.bool_)  # an opening quote right after a closing one: the two are one character
    twin[1:] = opening[1:] == closing[: len(opening) - 1] + 1
    first_twin = np.zeros(len(closing), np.bool_)
    first_twin[: len(opening) - 1] = twin[1:]
    blanks_before, bad_opening = _beside(data, opening[~twin], -1, separator)
    blanks_after, bad_closing = _beside(data, closing[~first_twin], 1, separator)
    blanks = np.concatenate((blanks_before, blanks_after))
    faults = []
    if len(bad_opening):
        faults.append((int(bad_opening.min()), "a quote stands in the middle of a field that does not begin with one"))
    unclosed = [len(closing)] if last and len(opening) > len(closing) else []
    for wrong, problem in (
        (np.searchsorted(closing, bad_closing.min()) if len(bad_closing) else None, "a quote closes in the middle of"),
        (unclosed[0] if unclosed else None, "no quote closes"),
    ):
        if wrong is not None:
            at = int(wrong)
            while twin[at]:  # back to where the field begins
                at -= 1
            faults.append((int(opening[at]), f"{problem} the field that a quote opens here"))
    return (blanks, *min(faults, key=lambda fault: fault[0])) if faults else (blanks, None, "")


def _beside(
    data: NDArray[np.uint8], quotes: NDArray[np.int64], step: int, separator: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the blanks between quotes and the field's end on one side, and the quotes that have other text there."""
    blanks, bad = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    at = quotes + step
    while len(quotes):
        known = (at >= 0) & (at < len(data))  # before the piece a row ends, and after it nobody knows yet
        quotes, at = quotes[known], at[known]
        beside = data[at]
        blank = ((beside == _BLANKS[0]) | (beside == _BLANKS[1])) & (beside != separator)
        bad.append(quotes[~blank & (beside != separator) & (beside != _LINE_END)])
        blanks.append(at[blank])
        quotes, at = quotes[blank], at[blank] + step
    return np.concatenate(blanks), np.concatenate(bad)
