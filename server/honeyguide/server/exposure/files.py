"""Writes, replaces and deletes the Parquet files of the exposure log: each is whole, or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from time import time

import polars as pl

__all__ = ["delete_older", "exposure_files", "write_file"]

_DAY = 86_400.0


def exposure_files(folder: Path) -> Iterator[Path]:
    """Lists the files that are closed, oldest first."""
    return iter(sorted(folder.glob("exposures-*.parquet")))


def write_file(path: Path, table: pl.DataFrame) -> None:
    """Writes a table to where it can be read at once or not at all, readable by this user alone; raises `OSError`."""
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            table.write_parquet(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def delete_older(folder: Path, days: float) -> None:
    """Deletes the files that were closed more than so many days ago."""
    for path in exposure_files(folder):
        if path.stat().st_mtime < time() - days * _DAY:
            path.unlink(missing_ok=True)
