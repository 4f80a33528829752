"""Keeps the item ids of a run, row by row, so that it can be measured on data other than it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from honeyguide.sdk.errors import DataError
from honeyguide.training.target_folder import writing

if TYPE_CHECKING:
    import polars as pl

__all__ = ["VOCABULARY", "read_vocabulary", "save_vocabulary"]

VOCABULARY = "items.parquet"


def save_vocabulary(folder: Path, item_ids: pl.Series) -> None:
    """Writes the (items,) ids in the order of the network's rows."""
    import polars as pl

    with writing(folder / VOCABULARY, "the item ids", pl.exceptions.PolarsError):
        pl.DataFrame({"item_id": item_ids}).write_parquet(folder / VOCABULARY)


def read_vocabulary(folder: Path, items: int) -> pl.Series:
    """Reads the (items,) ids of a run; raises `DataError` where they are missing or broken."""
    import polars as pl

    file = folder / VOCABULARY
    remedy = "evaluate on the data set it was trained on, or train it again with `honeyguide train`"
    if not file.exists():
        raise DataError("there is no such file: the run does not say what its items are", file=str(file), remedy=remedy)
    try:
        ids = pl.read_parquet(file, glob=False)["item_id"]
        if ids.dtype == pl.String and len(ids) == ids.n_unique() == items and not ids.has_nulls():
            return ids
        problem = f"it does not hold {items} item ids"
    except (pl.exceptions.PolarsError, OSError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise DataError(f"cannot be read ({problem})", file=str(file), remedy=remedy)
