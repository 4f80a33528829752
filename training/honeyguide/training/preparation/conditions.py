"""Reads conditions on rows as people write them, such as ``rating >= 6`` or ``type in (view, purchase)``."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # so that options are checked without loading polars
    import polars as pl

__all__ = ["Condition", "parse_condition"]

_SHAPE = re.compile(
    r"\s*(?P<column>\"[^\"]+\"|'[^']+'|.+?)"
    r"\s*(?P<operator>!=|==|>=|<=|=|<|>|(?<=\s)not\s+in(?=[\s(])|(?<=\s)in(?=[\s(]))\s*(?P<value>.*?)\s*",
    re.IGNORECASE | re.DOTALL,
)
_ORDER = ("<", "<=", ">", ">=")


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

    def holds(self, text: pl.Expr, number: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        """Returns whether it holds for each row; a missing value equals nothing and has no order.

        Args:
            text: the column as text, stripped, null where a value is missing.
            number: makes float64 of text, null where it is no number.
        """
        if self.operator in _ORDER:
            left, right = number(text), float(self.values[0])
            compared = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
            return compared[self.operator].fill_null(False)
        equal = text.is_in(self.values)
        if numbers := [value for value in map(_number, self.values) if value is not None]:
            equal |= number(text).is_in(numbers).fill_null(False)
        equal = equal.fill_null(False)
        return equal if self.operator == "=" else ~equal


def parse_condition(text: str) -> Condition:
    """Reads ``COLUMN OPERATOR VALUE``; raises `ValueError` that says how to write it."""
    parts = _SHAPE.fullmatch(text)
    if not parts:
        raise ValueError(f"where is {text!r}; write COLUMN = VALUE, or with !=, <, <=, >, >=, in (A, B), not in (A, B)")
    column, operator, value = (parts[name] for name in ("column", "operator", "value"))
    operator = " ".join(operator.lower().split())
    if operator in ("in", "not in"):
        if not (value.startswith("(") and value.endswith(")") and value[1:-1].strip()):
            raise ValueError(f"where is {text!r}; write {column} {operator} (A, B)")
        values = next(csv.reader([value[1:-1].replace("'", '"')], skipinitialspace=True))
        values = [each.strip() for each in values]
    else:
        values = [_unquoted(value)]
    if operator in _ORDER and _number(values[0]) is None:
        raise ValueError(f"where is {text!r}; {operator} needs a number (for times there are since and until)")
    operator = {"==": "=", "in": "=", "not in": "!="}.get(operator, operator)
    return Condition(text.strip(), _unquoted(column), operator, tuple(values))


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
