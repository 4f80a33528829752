"""Finds columns by name, and shortens what a message shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from honeyguide.sdk.errors import DataError

__all__ = ["find_column", "shorten"]

_NAMES = 400
"""Characters that the names of a table's columns may take in a message."""


def find_column(name: str, names: Sequence[str], file: Path, option: str) -> str:
    """Returns the column called ``name``, or the only one called ``name:type``; raises `DataError` naming them all."""
    for matches in ([c for c in names if c == name], [c for c in names if c.partition(":")[0] == name]):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise DataError("the header names this column twice", file=str(file), column=name, remedy="rename one")
    choices = shorten(", ".join(c for c in names if c), _NAMES)
    raise DataError(
        "there is no such column",
        file=str(file),
        column=shorten(name),
        remedy=f"choose --{option.replace('_', '-')} from: {choices}"
        + ("; or say --separator, if they are not well divided" if set(";|\t") & set(choices) else ""),
    )


def shorten(text: str, most: int = 80) -> str:
    """Returns a text of at most ``most`` characters, the end left out where it is longer."""
    return text if len(text) <= most else text[: most - 1] + "…"
