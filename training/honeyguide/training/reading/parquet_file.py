"""Reads Parquet tables, and says where one is broken or of the wrong kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.columns import shorten

__all__ = ["ParquetFile"]


class ParquetFile:
    """Parquet table on disk. Its rows count from 1."""

    separator, detected, encoding = "", False, ""

    def __init__(self, path: Path) -> None:
        """Reads the names of the columns; raises `DataError` where the file is torn."""
        self.path = path
        try:
            self.columns = list(pl.scan_parquet(path, glob=False).collect_schema())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(error) from error

    def frames(
        self, selection: Sequence[str], progress: Callable[[int], None], lists: Sequence[str] = ()
    ) -> Iterator[tuple[NDArray[np.int64], pl.DataFrame]]:
        """Yields row numbers and columns of text, numbers or datetimes; those in ``lists`` may be lists too."""
        try:
            frame = pl.read_parquet(self.path, columns=list(selection), hive_partitioning=False, glob=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(error) from error
        for name, kind in frame.schema.items():
            odd = kind.is_nested() or kind in (pl.Binary, pl.Time, pl.Duration)
            if odd and not (name in lists and isinstance(kind, pl.List | pl.Array)):
                raise DataError(
                    f"its values are of type {kind}",
                    file=str(self.path),
                    column=name,
                    remedy="choose a column of text, numbers or datetimes",
                )
        progress(self.path.stat().st_size)
        yield (
            np.arange(1, frame.height + 1),
            frame.with_columns(pl.col(pl.Categorical, pl.Enum, pl.Null).cast(pl.String)),
        )

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(
            f"this is no readable Parquet file ({shorten(str(error).splitlines()[0], 200)})",
            file=str(self.path),
            remedy="write or fetch it again: it begins as Parquet does, and may be torn",
        )
