"""Says how a text table is written: separator, quotes, escape, header, encoding."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from honeyguide.sdk.errors import ConfigError

__all__ = ["TextFormat", "detect_separator", "separator_name"]

_NAMED = {"tab": "\t", "space": " ", "\\t": "\t"}
_BY_ENDING = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".inter": "\t", ".item": "\t", ".user": "\t", ".psv": "|"}
_CANDIDATES = (",", ";", "\t", "|", "::", " ")
_ROWS = 20
"""Rows that the separator is detected from."""


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How a text table is written."""

    separator: str = ""
    """Between fields, one or more characters, "tab", "space"; "" = detected from the first rows."""
    quote: str = '"'
    """The character that may stand around a field and is doubled inside it; "none" = all are plain characters."""
    escape: str = ""
    """Character that makes a quote, a separator or itself plain, such as a backslash; "" = none does."""
    header: bool = True
    """Whether the first row names the columns."""
    encoding: str = "utf-8"
    """How bytes become characters; a byte order mark wins over it."""
    sequences: bool = False
    """Whether a line is a user's id and then the ids of items, oldest first: columns "user" and "item"."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "separator", _NAMED.get(self.separator, self.separator))
        object.__setattr__(self, "quote", "" if self.quote == "none" else self.quote)
        for name, value in (("quote", self.quote), ("escape", self.escape)):
            if len(value) > 1 or not value.isascii() or value.isalnum() or value in ("\n", "\r", "\0"):
                raise ConfigError(f"{name} is {value!r}; it is one character such as ' or \\, or none")
        if "\n" in self.separator or "\r" in self.separator:
            raise ConfigError("separator is a line end; fields stand in one line")
        if self.separator and self.separator in (self.quote, self.escape):
            raise ConfigError(f"separator is {self.separator!r}, and so is the quote or the escape")


def detect_separator(head: str, path: Path, quote: str) -> tuple[str, bool]:
    """Finds what stands between the fields of the first rows.

    It is the one that every row has equally often, give or take a ragged row; among several that with the most fields.
    What also stands between words or categories, "|" and the space, counts only where nothing else will do. Where none
    is such, the file's ending decides.

    Args:
        head: the first lines; the last may be cut.
        path: whose ending decides among equals.
        quote: the quote character, "" without: what stands between two is not looked at.

    Returns:
        The separator, and whether the rows told it.
    """
    if quote:
        head = re.sub(f"{re.escape(quote)}[^{re.escape(quote)}]*{re.escape(quote)}", "quoted", head)
    whole = head.rpartition("\n")[0] or head  # the last line may be cut
    rows = [row for row in whole.split("\n")[: 3 * _ROWS] if row.strip()][:_ROWS]
    usual = _BY_ENDING.get(Path(path.name.removesuffix(".gz")).suffix.lower(), "")
    fitting = {}
    for candidate in _CANDIDATES:
        counts = Counter(row.count(candidate) for row in rows)
        count, agree = counts.most_common(1)[0] if counts else (0, 0)
        if count and agree >= 0.8 * len(rows):
            fitting[candidate] = count
    for weak in (" ", "|"):
        if len(fitting) > 1:
            fitting.pop(weak, None)
    if fitting:
        most = max(fitting.values())
        best = [candidate for candidate, count in fitting.items() if count == most]
        return (usual if usual in best else best[0]), True
    present = [candidate for candidate in _CANDIDATES if rows and candidate in rows[0]]
    return usual or (present[0] if present else ","), False


def separator_name(separator: str) -> str:
    """Returns a separator as a message and an option say it."""
    return {"\t": "tab", " ": "space"}.get(separator, separator)
