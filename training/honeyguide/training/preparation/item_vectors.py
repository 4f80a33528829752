"""Reads the vectors that a user brings for the items: columns of lists, or .npy files beside the items file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np
import polars as pl

from honeyguide.sdk.errors import DataError
from honeyguide.sdk.items import MAX_VECTOR
from honeyguide.training.reading.columns import shorten

__all__ = ["vectors_of_file", "vectors_of_lists"]

Where = Callable[[int], tuple[Path, int]]
"""Maps a row of the items file, from 0, to its file and line."""
_NARROWER = "make them shorter: their principal components, or a random projection, keep what matters"


def vectors_of_lists(column: pl.Series, name: str, where: Where) -> pl.Series:
    """Returns a column of lists of numbers as vectors of float32, NaN where a list is missing or empty.

    Raises:
        DataError: with file and row of the first that is no list of finite numbers, or of another length; or where no
            item has one.
    """
    if not isinstance(column.dtype, pl.List | pl.Array):
        raise DataError(
            f"its values are of type {column.dtype}, and vectors are lists of numbers",
            file=str(where(0)[0]),
            column=name,
            remedy="write the items as Parquet or JSON lines with lists, or the vectors as a .npy file: "
            f"--item-vectors {shorten(name)}=FILE.npy",
        )
    lists = column.cast(pl.List(column.dtype.inner))
    lengths = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    present = np.flatnonzero(lengths)
    if not len(present):
        raise DataError(f"no item has a vector {name!r}", file=str(where(0)[0]), remedy="name a column of lists")
    if (width := int(lengths[present[0]])) > MAX_VECTOR:
        file, line = where(int(present[0]))
        raise DataError(_too_wide(width), file=str(file), row=line, column=name, remedy=_NARROWER)
    flat = lists.filter(pl.Series(lengths > 0)).explode().cast(pl.Float64, strict=False)
    owners = np.repeat(present, lengths[present])
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        numbers = flat.fill_null(float("nan")).to_numpy().astype(np.float32)
    wrong = np.zeros(len(lengths), bool)
    wrong[owners[~np.isfinite(numbers)]] = True
    ragged = (lengths > 0) & (lengths != width)
    if (wrong | ragged).any():
        row = int(np.argmax(wrong | ragged))
        problem = (
            f"the vector has {lengths[row]} numbers, and that of the first item that has one has {width}"
            if ragged[row]
            else "the vector holds something that is no finite number"
        )
        file, line = where(row)
        raise DataError(
            problem, file=str(file), row=line, column=name, remedy="mend it, or leave the whole vector out: null or []"
        )
    table = np.full((len(lengths), width), np.nan, np.float32)
    table[present] = numbers.reshape(-1, width)
    return pl.Series(name, table, dtype=pl.Array(pl.Float32, width))


def vectors_of_file(path: Path, name: str, rows: int) -> pl.Series:
    """Returns the vectors of a .npy file, row i of which belongs to row i of the items file; a row of NaN is missing.

    Raises:
        DataError: for a file that is none, holds objects (which are pickled, and never read), has another shape than
            (``rows``, width) or another type than numbers; or naming the first row with a number that is not finite.
    """
    try:
        with path.open("rb") as file:  # numpy leaves one open that is a broken archive
            array = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise DataError("there is no such file", file=str(path), remedy="check the path of --item-vectors") from None
    except (ValueError, OSError, EOFError, BadZipFile, SyntaxError, TokenError) as error:  # two of a broken header
        pickled = "pickle" in str(error).lower() or "object" in str(error).lower()
        problem = "it holds Python objects, or is no .npy file" if pickled else shorten(str(error), 200)
        raise DataError(
            f"the vectors cannot be read: {problem}",
            file=str(path),
            remedy="write them with numpy.save(FILE, vectors.astype('float32'))",
        ) from error
    problem = ""
    if not isinstance(array, np.ndarray):
        array.close()
        problem = "it is an archive of arrays (.npz)"
    elif array.dtype.kind not in "fiu":
        problem = f"its values are of type {array.dtype}"
    elif array.ndim != 2 or array.shape[1] < 1:
        problem = f"its shape is {array.shape}"
    elif len(array) != rows:
        problem = f"it has {len(array):,} rows, and the items file has {rows:,}"
    if problem:
        raise DataError(
            f"{problem}; a vector of numbers for each row of the items file is needed, in its order",
            file=str(path),
            remedy="write one array of shape (rows of the items file, width), a row of NaN where an item has none",
        )
    if array.shape[1] > MAX_VECTOR:
        raise DataError(_too_wide(array.shape[1]), file=str(path), remedy=_NARROWER)
    with np.errstate(over="ignore"):
        table = array.astype(np.float32)
    missing = np.isnan(table).all(1)
    odd = ~np.isfinite(table).all(1) & ~missing
    if odd.any():
        raise DataError(
            "the vector holds a number that is not finite",
            file=str(path),
            row=int(np.argmax(odd)) + 1,
            remedy="mend it, or make the whole row NaN: then the item has no vector",
        )
    return pl.Series(name, table, dtype=pl.Array(pl.Float32, table.shape[1]))


def _too_wide(width: int) -> str:
    return f"a vector has {width:,} numbers; allowed: at most {MAX_VECTOR:,}, as for items that are added to a server"
