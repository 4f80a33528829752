"""Reads Parquet tables, and says where one is broken or of the wrong kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from honeyguide.sdk.errors import DataError

__all__ = ["is_parquet", "parquet_columns", "read_parquet"]


def is_parquet(path: Path) -> bool:
    """Says by the ending whether a file is Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")


def parquet_columns(path: Path) -> list[str]:
    """Returns the names of the columns; raises `DataError` where there is no such file or it is no Parquet."""
    try:
        return list(pl.read_parquet_schema(path))
    except FileNotFoundError:
        raise DataError("there is no such file", file=str(path), remedy="check the path") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error


def read_parquet(path: Path, selection: list[str], lists: Sequence[str] = ()) -> pl.DataFrame:
    """Reads columns of text, numbers or datetimes; those in ``lists`` may be lists too."""
    try:
        frame = pl.read_parquet(path, columns=selection)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error
    for name, kind in frame.schema.items():
        odd = kind.is_nested() or kind in (pl.Binary, pl.Time, pl.Duration)
        if odd and not (name in lists and isinstance(kind, pl.List)):
            raise DataError(
                f"its values are of type {kind}",
                file=str(path),
                column=name,
                remedy="choose a column of text, numbers or datetimes",
            )
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"this is no readable Parquet file ({str(error).splitlines()[0]})",
        file=str(path),
        remedy="write it again, or name it .csv or .tsv if it is text",
    )
