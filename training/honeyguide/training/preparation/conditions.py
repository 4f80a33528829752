"""Reads conditions on rows as people write them, such as ``rating >= 6`` or ``type in (view, purchase)``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # so that options are checked without loading polars
    import polars as pl

__all__ = ["Condition", "is_number", "parse_condition"]

_SHAPE = re.compile(
    r"\s*(?P<column>\"[^\"]+\"|'[^']+'|.+?)"
    r"\s*(?P<operator>!=|==|>=|<=|=|<|>|(?<=\s)not\s+in(?=[\s(])|(?<=\s)in(?=[\s(]))\s*(?P<value>.*?)\s*",
    re.IGNORECASE | re.DOTALL,
)
_ORDER = ("<", "<=", ">", ">=")
_ENTRY = re.compile(r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'(?=\s*(?:,|$))|(?P<plain>[^,()"]+?))\s*(?:,|$)""")
"""One of a list's values; an apostrophe inside a plain one is a letter, as in O'Brien."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Condition:
    """Condition on one column of a log."""

    text: str
    """As it was written."""
    column: str
    operator: str
    """One of =, !=, <, <=, >, >=."""
    values: tuple[str, ...]
    """What the column is compared with; of several, any counts as equal."""

    @property
    def ordered(self) -> bool:
        """Whether it compares numbers."""
        return self.operator in _ORDER

    def holds(self, text: pl.Expr, number: pl.Expr) -> pl.Expr:
        """Returns whether it holds for each row; a missing value equals nothing and has no order.

        Values are equal where their texts are, but for zeros at the end of a fraction: 6.0 is 6, and 007 is not 7.

        Args:
            text: the column as text, stripped, null where a value is missing.
            number: the column as float64, null where it is no number.
        """
        if self.operator in _ORDER:
            right = float(self.values[0])
            compared = {"<": number < right, "<=": number <= right, ">": number > right, ">=": number >= right}
            return compared[self.operator].fill_null(False)
        plain = text.str.replace(r"^([+-]?\d+)\.0+$", "$1").str.replace(r"^([+-]?\d+\.\d*[1-9])0+$", "$1")
        equal = plain.is_in([_plain(value) for value in self.values]).fill_null(False)
        return equal if self.operator == "=" else ~equal


def parse_condition(text: str) -> Condition:
    """Reads ``COLUMN OPERATOR VALUE``; raises `ValueError` that says how to write it."""
    parts = _SHAPE.fullmatch(text)
    if not parts:
        raise ValueError(f"where is {text!r}; write COLUMN = VALUE, or with !=, <, <=, >, >=, in (A, B), not in (A, B)")
    column, operator, value = (parts[name] for name in ("column", "operator", "value"))
    operator = " ".join(operator.lower().split())
    if operator in ("in", "not in"):
        values = _entries(value)
        if not values:
            raise ValueError(f"where is {text!r}; write {column} {operator} (A, B)")
    else:
        values = [_unquoted(value)]
        if values[0] == value and re.search(r"\s(and|or)\s", value, re.IGNORECASE):
            raise ValueError(
                f"where is {text!r}; give each condition its own where, all must hold (a value with such a word in it "
                "needs quotes)"
            )
    if operator in _ORDER and not is_number(values[0]):
        raise ValueError(f"where is {text!r}; {operator} needs a number (for times there are since and until)")
    operator = {"==": "=", "in": "=", "not in": "!="}.get(operator, operator)
    return Condition(text.strip(), _unquoted(column), operator, tuple(values))


def is_number(text: str) -> bool:
    """Says whether a text is a finite number, with a point before the fraction."""
    return bool(_NUMBER.fullmatch(text))


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _entries(text: str) -> list[str]:
    """Reads ``(A, 'B, C', "D")``; empty where it is no such list."""
    if not (text.startswith("(") and text.endswith(")")):
        return []
    inner, at, values = text[1:-1], 0, []
    while at < len(inner):
        entry = _ENTRY.match(inner, at)
        if not entry:
            return []
        values.append(next(value for value in entry.groups() if value is not None))
        at = entry.end()
    return values


def _plain(value: str) -> str:
    """Leaves out the zeros at the end of a fraction."""
    return re.sub(r"^([+-]?\d+\.\d*[1-9])0+$", r"\1", re.sub(r"^([+-]?\d+)\.0+$", r"\1", value))
