"""Reads event logs and item files of any column names into the columns Honeyguide knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.training.dataset import FEATURES
from honeyguide.training.events import Events, Ledger
from honeyguide.training.options import PrepareOptions
from honeyguide.training.text_file import TextFile, find_column

__all__ = ["column_names", "read_events", "read_items"]

_ROLES = {"user": "user", "item": "item", "time": "time", "event_type": "event_type"} | {
    "dwell_seconds": "dwell", "clicks": "clicks", "quantity": "quantity", "value": "value"
}  # fmt: skip
"""The option that names each column."""


def column_names(path: Path) -> list[str]:
    """Returns the names of a Parquet file's columns, or those in a UTF-8 text file's header."""
    return _parquet_columns(path) if _is_parquet(path) else TextFile(path).columns()


def read_events(
    path: Path, options: PrepareOptions, ledger: Ledger, progress: Callable[[str], None]
) -> tuple[Events, list[str]]:
    """Reads an event log, leaving out rows without user, item or time.

    Returns:
        The events in the order of the file, the codes of users and items in the order of their ids; and the columns of
        the file that were not used.

    Raises:
        DataError: with row and column where a value has the wrong type.
    """
    names, blocks = _open(path, options, progress)
    columns = {
        role: find_column(getattr(options, option), names, path, option)
        for role, option in _ROLES.items()
        if getattr(options, option)
    }
    kept_column, _, kept_value = options.keep.partition("=")
    if options.keep:
        kept_column = find_column(kept_column, names, path, "keep")
    wanted = sorted({*columns.values(), *([kept_column] if options.keep else [])}, key=names.index)
    codes = {role: _Codes() for role in columns if role in ("user", "item", "event_type")}
    gathered: dict[str, _Gathered] = {}
    for row, block in blocks(wanted):
        ledger.read += block.height
        chosen = block.with_row_index("row", row)
        if options.keep:
            positive = chosen[kept_column].cast(pl.String).eq_missing(pl.Series([kept_value]))
            chosen = ledger.drop_rows(chosen, ~positive, f"{kept_column} is not {kept_value}")
        for column in _events(chosen, columns, options, path, ledger):
            values = codes[column.name](column) if column.name in codes else column.to_numpy()
            gathered.setdefault(column.name, _Gathered(values.dtype)).add(values)
    if not ledger.read:
        raise DataError("the file has no rows", file=str(path), remedy="name a file that has events")
    events = Events({name: column.done() for name, column in gathered.items()}, {r: c.ids() for r, c in codes.items()})
    for role, place in ((role, c.places()) for role, c in codes.items()):
        events.columns[role] = place[events[role]]
    return events, [name for name in names if name not in wanted]


def read_items(path: Path, options: PrepareOptions) -> pl.DataFrame:
    """Reads an items file; the first of several rows of one item counts.

    Returns:
        Text columns item_id and title ("" where there is none), and categories, a list of text.
    """
    text = TextFile(path, options.items_separator, options.items_header, options.items_encoding)
    names = _parquet_columns(path) if _is_parquet(path) else text.columns()
    flags = options.category_flags
    item_id = find_column(options.item_id or options.item, names, path, "item_id")
    title = find_column(options.title, names, path, "title") if options.title else ""
    categories = find_column(options.categories, names, path, "categories") if options.categories else ""
    start = names.index(categories) if categories else 0
    spread = names[start : start + len(flags)] if categories and flags else [categories] if categories else []
    wanted = list(dict.fromkeys([item_id, *([title] if title else []), *spread]))
    if _is_parquet(path):
        frame = pl.read_parquet(path, columns=wanted)
    else:
        frame = pl.concat([block for _, block in text.frames(wanted)] or [pl.DataFrame(schema=wanted)])
    if flags:
        marked = [pl.when(pl.col(c).cast(pl.String) == "1").then(pl.lit(f)) for c, f in zip(spread, flags, strict=True)]
        listed = pl.concat_list(marked)
    elif not categories:
        listed = pl.lit(pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, frame.height))
    elif isinstance(frame.schema[categories], pl.List):
        listed = pl.col(categories).cast(pl.List(pl.String))
    else:
        listed = pl.col(categories).cast(pl.String).str.split(options.category_separator)
    listed = listed.list.eval(pl.element().str.strip_chars().replace("", None).drop_nulls()).fill_null([])
    return (
        frame.select(
            _text(frame, item_id).alias("item_id"),
            (_text(frame, title).str.strip_chars().fill_null("") if title else pl.lit("")).alias("title"),
            listed.alias("categories"),
        )
        .filter(pl.col("item_id").is_not_null())
        .unique("item_id", keep="first", maintain_order=True)
    )


_Blocks = Callable[[list[str]], Iterator[tuple[int, pl.DataFrame]]]


class _Codes:
    """Numbers ids as they come, block by block, and puts them in order in the end."""

    def __init__(self) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        self._new: list[pl.Series] = []  # each block's new ids; polars forgets a number that no series holds
        self._known = 0

    def __call__(self, ids: pl.Series) -> NDArray[np.uint32]:
        """Returns the numbers of a block's ids, from 0."""
        numbered = ids.cast(self._type)
        distinct = numbered.unique()
        new = distinct.filter(distinct.to_physical() >= self._known)
        if new.len():
            self._known += new.len()
            self._new.append(new)
        return numbered.to_physical().cast(pl.UInt32).to_numpy()

    def ids(self) -> pl.Series:
        """Returns the ids in order: shorter ones first, so that 9 stands before 10."""
        return self._table()["id"]

    def places(self) -> NDArray[np.uint32]:
        """Returns, by number, the place of an id in that order."""
        numbers = self._table()["number"].to_numpy()
        places = np.empty(len(numbers), np.uint32)
        places[numbers] = np.arange(len(numbers), dtype=np.uint32)
        return places

    def _table(self) -> pl.DataFrame:
        ids = pl.concat(self._new) if self._new else pl.Series([], dtype=self._type)
        table = pl.DataFrame({"number": ids.to_physical(), "id": ids.cast(pl.String)})
        return table.sort(pl.col("id").str.len_bytes(), "id")


class _Gathered:
    """Gathers blocks of a column in one array that grows in place: no second copy is ever held."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._values = np.empty(1 << 16, dtype)
        self._count = 0

    def add(self, values: NDArray[Any]) -> None:
        """Puts values at the end."""
        end = self._count + len(values)
        if end > len(self._values):
            self._values.resize(end + end // 8, refcheck=False)  # fills with zeros: little more than needed
        self._values[self._count : end] = values
        self._count = end

    def done(self) -> NDArray[Any]:
        """Returns what was gathered."""
        self._values.resize(self._count, refcheck=False)
        return self._values


def _open(path: Path, options: PrepareOptions, progress: Callable[[str], None]) -> tuple[list[str], _Blocks]:
    """Returns a file's column names, and how to read some of them, block by block."""
    if _is_parquet(path):
        names = _parquet_columns(path)

        def parquet(wanted: list[str]) -> Iterator[tuple[int, pl.DataFrame]]:
            yield 1, pl.read_parquet(path, columns=wanted)

        return names, parquet
    text = TextFile(path, options.separator, options.header, options.encoding)
    names = text.columns()
    size = max(path.stat().st_size, 1)

    def blocks(wanted: list[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        return text.frames(wanted, lambda done: progress(f"reading {path.name}: {100 * done // size} %"))

    return names, blocks


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _parquet_columns(path: Path) -> list[str]:
    try:
        return list(pl.read_parquet_schema(path))
    except FileNotFoundError:
        raise DataError("there is no such file", file=str(path), remedy="check the path") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"this is no readable Parquet file ({str(error).splitlines()[0]})",
            file=str(path),
            remedy="write it again, or name it .csv or .tsv if it is text",
        ) from error


def _text(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Returns an id column as text; 17850.0 becomes "17850", an empty one null."""
    column = pl.col(name)
    if frame.schema[name].is_float():
        whole = frame[name].drop_nans()
        column = column.fill_nan(None)
        if (whole == whole.round()).all():
            column = column.cast(pl.Int64)
    return column.cast(pl.String).replace("", None)


def _events(
    frame: pl.DataFrame, columns: Mapping[str, str], options: PrepareOptions, path: Path, ledger: Ledger
) -> pl.DataFrame:
    """Turns one block's raw columns into events: row, user, item, …, ids as text."""
    made = {"row": frame["row"]}
    wrong = {}
    for role, name in columns.items():
        raw = frame[name]
        if role in ("user", "item", "event_type"):
            made[role] = frame.select(_text(frame, name)).to_series()
            continue
        made[role] = _times(raw, options) if role == "time" else _feature(raw, role, options)
        faulty = made[role].is_null() & raw.is_not_null() & (raw.cast(pl.String).str.strip_chars() != "")
        if faulty.any():
            if not options.skip_bad_rows:
                _refuse(path, frame, name, faulty, role, options)
            wrong[f"wrong type in column {name!r}"] = faulty
    events = pl.DataFrame([column.alias(role) for role, column in made.items()])
    if wrong:  # a row with two faults counts once
        events = events.with_columns(faulty.alias(reason) for reason, faulty in wrong.items())
        for reason in wrong:
            faulty = events[reason]
            events = ledger.drop_rows(events.drop(reason), faulty, reason)
    for role in ("user", "item", "time"):
        if role in columns:
            events = ledger.drop_rows(events, events[role].is_null(), f"missing {role}")
    return events.rename({"time": "time_ms"}, strict=False).with_columns(
        pl.col("^event_type$").fill_null(""), pl.col("^" + "$|^".join(FEATURES) + "$").fill_null(float("nan"))
    )


def _feature(raw: pl.Series, role: str, options: PrepareOptions) -> pl.Series:
    number = _numbers(raw)
    scaled = number / 1000 if role == "dwell_seconds" and options.dwell_unit == "milliseconds" else number
    return scaled.cast(pl.Float32)


def _times(raw: pl.Series, options: PrepareOptions) -> pl.Series:
    """Returns milliseconds since 1970, null where a value is none."""
    if raw.dtype.is_temporal():
        return raw.cast(pl.Datetime("ms")).dt.epoch("ms") if raw.dtype != pl.Time else raw.cast(pl.Int64)
    if options.time_unit == "datetime":
        text = raw.cast(pl.String).str.strip_chars()
        return text.str.to_datetime(
            options.time_format or None, time_unit="ms", time_zone="UTC", strict=False
        ).dt.epoch("ms")
    number = _numbers(raw)
    scaled = number * 1000 if options.time_unit == "seconds" else number
    return scaled.round().cast(pl.Int64, strict=False)


def _numbers(raw: pl.Series) -> pl.Series:
    """Returns float64, null where a value is no finite number."""
    text = raw.str.strip_chars() if raw.dtype == pl.String else raw
    number = text.cast(pl.Float64, strict=False)
    return number.set(~number.is_finite(), None)


def _refuse(path: Path, frame: pl.DataFrame, name: str, wrong: pl.Series, role: str, options: PrepareOptions) -> None:
    """Raises what says where the first value of the wrong type stands."""
    first = wrong.arg_true()[0]
    if role == "time" and options.time_unit == "datetime":
        needed, remedy = "a datetime", "say --time-format, such as '%d/%m/%Y %H:%M', or --time-unit seconds"
    elif role == "time":
        needed, remedy = f"a number of {options.time_unit}", "say --time-unit datetime if these are datetimes"
    else:
        needed, remedy = "a number", "choose another column"
    raise DataError(
        f"{frame[name][first]!r} is not {needed}",
        file=str(path),
        row=int(frame["row"][first]),
        column=name,
        remedy=f"{remedy}; repair the row; or leave such rows out with --skip-bad-rows",
    )
