"""Reads event logs and item files of any column names into the columns Honeyguide knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from honeyguide.sdk.errors import DataError
from honeyguide.sdk.event import MAX_ID_BYTES
from honeyguide.training.preparation.events import Events, GrowingColumn, IdCodes, Ledger
from honeyguide.training.preparation.options import PrepareOptions
from honeyguide.training.reading.columns import find_column, shorten
from honeyguide.training.reading.dialect import TextFormat
from honeyguide.training.reading.sources import Source

__all__ = ["column_names", "read_events", "read_items"]

_ROLES = {"user": "user", "item": "item", "time": "time", "event_type": "event_type"} | {
    "dwell_seconds": "dwell", "clicks": "clicks", "quantity": "quantity", "value": "value"
}  # fmt: skip
"""The option that names each column."""
"""The longest id that can be asked for over gRPC."""


def column_names(path: Path) -> list[str]:
    """Returns the names of a file's columns."""
    return Source([path]).columns


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
    source = Source([path], _text_format(options.separator, options.header, options.encoding))
    names = source.columns
    columns = {
        role: find_column(getattr(options, option), names, path, option)
        for role, option in _ROLES.items()
        if getattr(options, option)
    }
    keep_column, _, keep_value = options.keep.partition("=")
    if options.keep:
        keep_column = find_column(keep_column, names, path, "keep")
    selection = sorted({*columns.values(), *([keep_column] if options.keep else [])}, key=names.index)
    codes = {role: IdCodes() for role in columns if role in ("user", "item", "event_type")}
    gathered: dict[str, GrowingColumn] = {}
    share = [0.0]

    def tell(done: float) -> None:
        share[0] = done
        progress(f"reading {path.name}: {100 * done:.0f} %")

    def leave_out(reason: str, count: int, example: str) -> None:
        ledger.read += count
        ledger.note(reason, count, example)

    for places, block in source.frames(selection, bad_rows=leave_out if options.skip_bad_rows else None, progress=tell):
        ledger.read += block.height
        chosen = block.select(pl.Series("row", places), pl.all())
        if options.keep:
            positive = chosen[keep_column].cast(pl.String).eq_missing(pl.Series([keep_value]))
            chosen = ledger.drop_rows(chosen, ~positive, f"{keep_column} is not {keep_value}")
        for column in _events(chosen, columns, options, path, ledger):
            values = codes[column.name](column) if column.name in codes else column.to_numpy()
            if column.name not in gathered:
                gathered[column.name] = GrowingColumn(values.dtype, int(1.1 * block.height / max(share[0], 1e-9)))
            gathered[column.name].add(values)
    if not ledger.read:
        raise DataError("the file has no rows", file=str(path), remedy="name a file that has events")
    events = Events({name: column.done() for name, column in gathered.items()}, {r: c.ids() for r, c in codes.items()})
    for role, place in ((role, c.places()) for role, c in codes.items()):
        events.columns[role] = place[events[role]]
    return events, [name for name in names if name not in selection]


def read_items(path: Path, options: PrepareOptions) -> pl.DataFrame:
    """Reads an items file; the first of several rows of one item counts.

    Returns:
        Text columns item_id and title ("" where there is none); categories, a list of text; and the ``item_columns``,
        each float64 where all its values are numbers and text where not, NaN or "" where a value is missing.

    Raises:
        DataError: naming the columns there are, where one that is asked for is not.
    """
    text = _text_format(options.items_separator, options.items_header, options.items_encoding)
    source = Source([path], text, flags="items-")
    names = source.columns
    flags = options.category_flags
    item_id = find_column(options.item_id or options.item, names, path, "item_id")
    title = find_column(options.title, names, path, "title") if options.title else ""
    categories = find_column(options.categories, names, path, "categories") if options.categories else ""
    extra = {name: find_column(name, names, path, "item_columns") for name in options.item_columns}
    start = names.index(categories) if categories else 0
    spread = names[start : start + len(flags)] if categories and flags else [categories] if categories else []
    selection = list(dict.fromkeys([item_id, *([title] if title else []), *spread, *extra.values()]))
    blocks = [block for _, block in source.frames(selection, lists=[categories] if categories else [])]
    frame = pl.concat(blocks or [pl.DataFrame(schema=dict.fromkeys(selection, pl.String))])
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
            *(_item_column(frame, column).alias(name) for name, column in extra.items()),
        )
        .filter(pl.col("item_id").is_not_null())
        .unique("item_id", keep="first", maintain_order=True)
    )


def _item_column(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Returns a column of an items file as float64 where all its values are numbers, else as text."""
    kind = frame.schema[name]
    text = pl.col(name).cast(pl.String).str.strip_chars()
    given = ~text.is_in(["", "nan", "NaN"]).fill_null(True)
    number = pl.col(name).cast(pl.Float64) if kind == pl.Boolean else _number(frame, name)
    wrong = given & number.is_null()
    if kind.is_temporal() or not frame.select(given.any() & ~wrong.any()).item():
        return text.fill_null("")
    return number.fill_null(float("nan"))


def _text_format(separator: str, header: bool, encoding: str) -> TextFormat:
    plain = separator in ("::", "|", " ", "space")
    return TextFormat(separator, quote="none" if plain else '"', header=header, encoding=encoding)


def _text(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Returns an id column as text; 17850.0 becomes "17850", an empty one null."""
    column = pl.col(name)
    if frame.schema[name].is_float():
        values = frame[name].drop_nans()
        column = column.fill_nan(None)
        if (values == values.round()).all():
            column = column.cast(pl.Int64)
    return column.cast(pl.String).replace("", None)


def _events(
    frame: pl.DataFrame, columns: Mapping[str, str], options: PrepareOptions, path: Path, ledger: Ledger
) -> pl.DataFrame:
    """Turns one block's raw columns into events: row, user, item, …, ids as text."""
    # One select for all columns: each costs a millisecond on a busy machine, and there are many blocks.
    made, faults = [pl.col("row")], {}
    for role, name in columns.items():
        if role in ("user", "item"):
            made.append(_text(frame, name).alias(role))
        elif role == "event_type":
            made.append(_text(frame, name).fill_null("").alias(role))
        else:
            number = _time(frame, name, options) if role == "time" else _feature(frame, name, role, options)
            given = ~pl.col(name).cast(pl.String).str.strip_chars().is_in(["", "nan", "NaN"]).fill_null(True)
            made.append(number.alias("time_ms") if role == "time" else number.fill_null(float("nan")).alias(role))
            faults[f"wrong type in column {name!r}"] = (role, name)
            made.append((number.is_null() & given).alias(f"wrong type in column {name!r}"))
    events = frame.select(made)
    for reason, (role, name) in faults.items():
        if (faulty := events[reason]).any():
            if not options.skip_bad_rows:
                _refuse(path, frame, name, faulty, role, options)
            ledger.drop_rows(events.drop(faults), faulty, reason)
            events = events.filter(~faulty)  # a row with two faults counts once
    events = events.drop(faults)
    for role in ("user", "item", "time_ms"):
        if role in events.columns and events[role].null_count():
            events = ledger.drop_rows(events, events[role].is_null(), f"missing {role.removesuffix('_ms')}")
    for role in ("user", "item"):
        long = events[role].str.len_bytes() > MAX_ID_BYTES
        events = ledger.drop_rows(events, long, f"id of the {role} is longer than {MAX_ID_BYTES} bytes")
    return events


def _time(frame: pl.DataFrame, name: str, options: PrepareOptions) -> pl.Expr:
    """Returns milliseconds since 1970, null where a value is none."""
    column = pl.col(name)
    if frame.schema[name].is_temporal():
        return column.cast(pl.Datetime("ms")).dt.epoch("ms")
    if options.time_unit == "datetime":
        text = column.cast(pl.String).str.strip_chars()
        moment = text.str.to_datetime(options.time_format or None, time_unit="ms", time_zone="UTC", strict=False)
        return moment.dt.epoch("ms")
    number = _number(frame, name)
    scaled = number * 1000 if options.time_unit == "seconds" else number
    return scaled.round().cast(pl.Int64, strict=False)


def _feature(frame: pl.DataFrame, name: str, role: str, options: PrepareOptions) -> pl.Expr:
    number = _number(frame, name)
    scaled = number / 1000 if role == "dwell_seconds" and options.dwell_unit == "milliseconds" else number
    return scaled.cast(pl.Float32)


def _number(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Returns float64, null where a value is no finite number."""
    column = pl.col(name)
    text = column.str.strip_chars() if frame.schema[name] == pl.String else column
    number = text.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


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
        f"{shorten(repr(frame[name][first]))} is not {needed}",
        file=str(path),
        row=int(frame["row"][first]),
        column=name,
        remedy=f"{remedy}; repair the row; or leave such rows out with --skip-bad-rows",
    )
