"""Writes events to a file that ``prepare`` reads, CSV or Parquet, a table at a time; a file is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from honeyguide.sdk.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl
    from pyarrow.parquet import ParquetWriter  # type: ignore[import-untyped]  # pyarrow ships no types

__all__ = ["EventLog"]

_FLAGS = {
    "event_type": "event_type",
    "dwell_seconds": "dwell",
    "clicks": "clicks",
    "quantity": "quantity",
    "value": "value",
}
"""Flags of ``prepare`` by our column."""


class EventLog:
    """File of events that is being written: ``with EventLog(path) as log: log.write(table)``."""

    def __init__(self, path: Path) -> None:
        """Writes nothing yet; raises `ConfigError` for a name that ends neither in .csv nor in .parquet."""
        if path.suffix not in (".csv", ".parquet"):
            raise ConfigError(f"the file is {path.name!r}; allowed: a name that ends with .csv or .parquet")
        self._path, self._unfinished = path, path.with_name(path.name + ".unfinished")
        self._file: BinaryIO | None = None
        self._parquet: ParquetWriter | None = None
        self._known: dict[str, bool] = {}
        self.events = 0
        """How many were written."""

    def __enter__(self) -> EventLog:
        try:
            self._file = os.fdopen(os.open(self._unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb")
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._parquet is not None and kind is None:
            self._parquet.close()
        if self._file is not None:
            self._file.close()
        if kind is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink(missing_ok=True)

    def write(self, events: pl.DataFrame) -> None:
        """Adds events; the first table, which may be empty, decides on the columns."""
        if self._file is None:
            raise ValueError("the log is not open")
        if self._path.suffix == ".csv":
            events.write_csv(self._file, include_header=not self._known)
        else:
            from pyarrow.parquet import ParquetWriter

            table = events.to_arrow()
            if self._parquet is None:
                self._parquet = ParquetWriter(self._file, table.schema, compression="zstd")
            self._parquet.write_table(table)
        for name, kind in events.schema.items():
            text = kind == "String"
            filled = events[name].drop_nulls()
            self._known[name] = self._known.get(name, False) or bool((filled != "").any() if text else filled.len())
        self.events += events.height

    def flags(self) -> dict[str, str]:
        """Returns the flags of ``prepare`` that name the columns in which there is anything."""
        return {"time": "time_ms"} | {flag: name for name, flag in _FLAGS.items() if self._known.get(name)}
