"""Shows answers as tables: rows and columns, frames of pandas and polars, HTML in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from html import escape
from importlib import import_module
from typing import Any, TypeVar

__all__ = ["Listing", "Tabular"]

T = TypeVar("T")

_SHOWN_ROWS = 100
"""Rows of a table in a notebook; the rest is counted."""


class Tabular:
    """Answer that is a table, too."""

    def to_columns(self) -> dict[str, list[Any]]:
        """Gives the table's columns by name, all equally long."""
        raise NotImplementedError

    def to_rows(self) -> list[dict[str, Any]]:
        """Gives the table's rows, each a dictionary by column."""
        columns = self.to_columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_pandas(self) -> Any:
        """Gives the table as a `pandas.DataFrame`; raises ImportError where pandas is not installed."""
        return _library("pandas").DataFrame(self.to_columns())

    def to_polars(self) -> Any:
        """Gives the table as a `polars.DataFrame`; raises ImportError where polars is not installed."""
        return _library("polars").DataFrame(self.to_columns(), strict=False)

    def _caption(self) -> str:
        """Says in a line what the table is of."""
        return ""

    def _repr_html_(self) -> str:
        columns = self.to_columns()
        rows = list(zip(*columns.values(), strict=True))
        more = f"… {len(rows) - _SHOWN_ROWS:,} rows more" if len(rows) > _SHOWN_ROWS else ""
        body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows[:_SHOWN_ROWS])
        return (
            f"<table><caption>{escape(self._caption())}</caption><thead><tr>{_cells('th', columns)}</tr></thead>"
            f"<tbody>{body}</tbody></table>{more}"
        )


class Listing(list[T], Tabular):
    """List of records of one kind; as a table it has a row for each and a column for each field."""

    def __init__(self, kind: type[T], records: Iterable[T] = ()) -> None:
        super().__init__(records)
        self._kind = kind

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Listing, (self._kind, list(self))

    def to_columns(self) -> dict[str, list[Any]]:
        """Gives a column for each field of the records."""
        names = [field.name for field in fields(self._kind)]  # type: ignore[arg-type]  # every record is a dataclass
        return {name: [_plain(getattr(record, name)) for record in self] for name in names}

    def _caption(self) -> str:
        return f"{len(self):,} × {self._kind.__name__}"


def _plain(value: Any) -> Any:
    """Gives what a cell can hold: records within records as their text."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return dict(value)
    return str(value) if is_dataclass(value) else value


def _cells(tag: str, values: Iterable[object]) -> str:
    return "".join(f"<{tag}>{escape(_text(value))}</{tag}>" for value in values)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"to_{name} needs {name}: pip install {name}", name=name) from error
