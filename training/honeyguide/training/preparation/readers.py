"""Reads event logs and item files of any column names into the columns Honeyguide knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.sdk.event import MAX_EVENT_TYPE_BYTES, MAX_ID_BYTES
from honeyguide.training.preparation.conditions import Condition, is_number, parse_condition
from honeyguide.training.preparation.events import Events, GrowingColumn, Ledger
from honeyguide.training.preparation.ids import MISSING, TOO_LONG, IdCodes, clean_ids, ids_as_text
from honeyguide.training.preparation.item_vectors import vectors_of_file, vectors_of_lists
from honeyguide.training.preparation.options import PrepareOptions, name_and_file
from honeyguide.training.preparation.times import TimeReader, date_remedy, telling_date
from honeyguide.training.preparation.values import Values
from honeyguide.training.reading.columns import find_column, shorten
from honeyguide.training.reading.sources import Source

__all__ = ["read_events", "read_items"]

_ROLES = {"user": "user", "item": "item", "time": "time", "event_type": "event_type"} | {
    "dwell_seconds": "dwell", "clicks": "clicks", "quantity": "quantity", "value": "value"
}  # fmt: skip
"""The option that names each column."""
_CODED = {"user": MAX_ID_BYTES, "item": MAX_ID_BYTES, "event_type": MAX_EVENT_TYPE_BYTES}
"""The roles whose values are numbered, and how many bytes one may have."""


def read_events(
    source: Source, options: PrepareOptions, ledger: Ledger, progress: Callable[[str], None]
) -> tuple[Events, TimeReader, list[str]]:
    """Reads an event log, leaving out rows that do not meet the conditions, or have no user, item or time.

    Returns:
        The events in the order of the source, codes of users and items in the order of their ids; what read the times,
        which knows their unit; and the columns that were not used.

    Raises:
        DataError: with row and column where a value has the wrong type.
    """
    block = _Block(source, options, ledger)
    gathered: dict[str, GrowingColumn] = {}
    share = 1.0

    def tell(done: float) -> None:
        nonlocal share
        share = done
        progress(f"reading {source.name}: {done:.0%}")

    def bad(reason: str, count: int, example: str) -> None:
        ledger.read += count
        ledger.note(reason, count, example)

    for rows, frame in source.frames(block.selection, bad_rows=bad if options.skip_bad_rows else None, progress=tell):
        ledger.read += frame.height
        for name, values in block.events(rows, frame).items():
            if name not in gathered:
                gathered[name] = GrowingColumn(values.dtype, int(1.1 * ledger.read / max(share, 1e-4)))
            gathered[name].add(values)
    if not ledger.read:
        raise DataError("the file has no rows", file=source.name, remedy="name a file that has events")
    events = block.finish({name: column.done() for name, column in gathered.items()})
    return events, block.times, [name for name in source.columns if name and name not in block.selection]


class _Block:
    """Reader of one block after the other, with what it learns on the way."""

    def __init__(self, source: Source, options: PrepareOptions, ledger: Ledger) -> None:
        names, file = source.columns, source.files[0]
        self._source, self._options, self._ledger = source, options, ledger
        self._columns = {
            role: find_column(getattr(options, option), names, file, option)
            for role, option in _ROLES.items()
            if getattr(options, option)
        }
        conditions = [parse_condition(text) for text in options.where]
        self._conditions = [(find_column(each.column, names, file, "where"), each) for each in conditions]
        self.selection = sorted(
            {*self._columns.values(), *(name for name, _ in self._conditions)}, key=source.columns.index
        )
        """The columns that are read."""
        self._unseen: dict[str, tuple[set[str], pl.Series]] = {}
        self.times = TimeReader(options.time_unit, options.time_format)
        """What reads the times."""
        self._values = Values(options.decimal, options.missing, options.missing_words)
        self._codes = {
            role: IdCodes(missing_words=options.missing_words, most_bytes=_CODED[role])
            for role in self._columns
            if role in _CODED
        }

    def events(self, rows: NDArray[np.uint32], frame: pl.DataFrame) -> dict[str, NDArray[np.generic]]:
        """Turns a block's raw columns into those of events, ids as the numbers of their texts."""
        rows, frame = self._selected(rows, frame)
        made: dict[str, pl.Series] = {}
        faults: dict[str, tuple[str, pl.Series]] = {}
        for role, name in self._columns.items():
            values = frame[name]
            if role in _CODED:
                made[role] = ids_as_text(values, self._source.name, _ROLES[role])
            else:
                text, number = self._values.parts(values)
                if role == "time":
                    made["time_ms"] = self.times.ms(values, text, number)
                else:
                    scale = 1000 if role == "dwell_seconds" and self._options.dwell_unit == "milliseconds" else 1
                    number = number if scale == 1 else number / scale
                    made[role] = number.cast(pl.Float32).fill_null(float("nan"))
                faults[role] = (name, (made["time_ms"] if role == "time" else number).is_null() & text.is_not_null())
        table = pl.DataFrame(list(made.values()), schema=list(made))
        bad: pl.Series | None = None
        for role, (name, faulty) in faults.items():
            if not faulty.any():
                continue
            if not self._options.skip_bad_rows:
                self._refuse(rows, frame[name], faulty, role)
            new = faulty if bad is None else faulty & ~bad  # a row with two faults counts once
            self._note(rows, table, new, f"wrong type in column {name!r}")
            bad = faulty if bad is None else faulty | bad
        if "time_ms" in made and made["time_ms"].null_count():
            missing = table["time_ms"].is_null()
            new = missing if bad is None else missing & ~bad
            self._note(rows, table, new, "missing time")
            bad = missing if bad is None else missing | bad
        if bad is not None:
            rows, table = rows[~bad.to_numpy()], table.filter(~bad)
        done: dict[str, NDArray[np.generic]] = {"row": rows}
        for column in table:
            done[column.name] = self._codes[column.name](column) if column.name in _CODED else column.to_numpy()
        return done

    def finish(self, columns: dict[str, NDArray[np.generic]]) -> Events:
        """Puts clean codes in the place of the numbers, and drops events without an id."""
        for text, (unseen, there) in self._unseen.items():
            if unseen:
                nobody, some = ", ".join(sorted(unseen)), ", ".join(map(repr, there.drop_nulls().to_list()))
                self._source.warnings.append(f"--where {text!r}: no row has {nobody}; there are {some}")
        ids = {}
        for role, codes in self._codes.items():
            ids[role], places = codes.finish()
            if role == "event_type":
                ids[role] = pl.concat([ids[role], pl.Series([""])])
                places[places == MISSING] = len(ids[role]) - 1
            columns[role] = places[columns[role]]
        events = Events(columns, ids, self.row_name)
        for role in ("user", "item"):
            self._ledger.drop(events, events[role] == MISSING, f"missing {role}")
        for role in self._codes:
            word = "event type" if role == "event_type" else f"id of the {role}"
            self._ledger.drop(events, events[role] == TOO_LONG, f"{word} is longer than {_CODED[role]} bytes")
        return events

    def row_name(self, place: int) -> str:
        """Names a row, with its file where there are several."""
        file, row = self._source.where(place)
        return f"{self._source.label(file)} row {row}".lstrip()

    def _selected(self, rows: NDArray[np.uint32], frame: pl.DataFrame) -> tuple[NDArray[np.uint32], pl.DataFrame]:
        """Returns a block's rows that meet all conditions; the others are counted under the first that they do not."""
        left = pl.Series([True]).new_from_index(0, frame.height)
        for name, condition in self._conditions:
            text, number = self._values.parts(frame[name])
            if condition.ordered and not self._options.skip_bad_rows:
                if (wrong := left & number.is_null() & text.is_not_null()).any():
                    self._refuse(rows, frame[name], wrong, "where")
            elif len(text.drop_nulls()):
                unseen, _ = self._unseen.setdefault(
                    condition.text, (set(condition.values), text.unique().sort().head(9))
                )
                each = {value: dataclasses.replace(condition, operator="=", values=(value,)) for value in unseen}
                unseen -= {value for value, equal in each.items() if _met(equal, text, number).any()}
            holds = _met(condition, text, number)
            self._note(rows, frame, unmet := left & ~holds, f"not {condition.text}")
            self._ledger.unmet += int(unmet.sum())
            left &= holds
        return (rows, frame) if left.all() else (rows[left.to_numpy()], frame.filter(left))

    def _note(self, rows: NDArray[np.uint32], frame: pl.DataFrame, bad: pl.Series, reason: str) -> None:
        """Counts rows under ``reason``, with the first as the example."""
        if count := int(bad.sum()):
            first = int(bad.arg_max())  # type: ignore[arg-type]  # of booleans
            shown = ", ".join(f"{name}={value}" for name, value in frame.row(first, named=True).items())
            self._ledger.note(reason, count, f"{self.row_name(int(rows[first]))}: {shown}")

    def _refuse(self, rows: NDArray[np.uint32], values: pl.Series, wrong: pl.Series, role: str) -> None:
        """Raises what says where the first value of the wrong type stands."""
        faulty = wrong.arg_true().to_list()
        first = telling_date(values, faulty) if role == "time" else faulty[0]
        value = str(values[first])
        if role == "time":
            needed = self.times.needed()
            remedy = date_remedy(value) or (
                "say --time-format, such as '%d/%m/%Y %H:%M'"
                if self.times.unit == "datetime"
                else "say --time-unit datetime if these are datetimes"
            )
        else:
            needed = "a number"
            decimal = self._options.decimal == "." and is_number(value.replace(",", "."))
            remedy = "say --decimal ',' if that is a decimal comma" if decimal else "choose another column"
            remedy += f"; say --missing {value!r} if that means none"
        file, row = self._source.where(int(rows[first]))
        raise DataError(
            f"{shorten(value)!r} is not {needed}",
            file=str(file),
            row=row,
            column=values.name,
            remedy=f"{remedy}; or leave such rows out with --skip-bad-rows",
        )


def _met(condition: Condition, text: pl.Series, number: pl.Series) -> pl.Series:
    """Returns whether each row meets a condition."""
    column = pl.DataFrame({"text": text, "number": number})
    return column.select(condition.holds(pl.col("text"), pl.col("number"))).to_series()


def read_items(source: Source, options: PrepareOptions) -> pl.DataFrame:
    """Reads an items file; the first of several rows of one item counts.

    Returns:
        Text columns item_id and title ("" where there is none); categories, a list of text; and the ``item_columns``,
        each float64 where all its values are numbers and text where not, NaN or "" where a value is missing; and the
        ``item_vectors``, arrays of float32.

    Raises:
        DataError: naming the columns there are, where one that is asked for is not; or a vector that is none.
    """
    names, file, flags = source.columns, source.files[0], options.category_flags
    item_id = find_column(options.item_id or options.item, names, file, "item_id")
    title = find_column(options.title, names, file, "title") if options.title else ""
    categories = find_column(options.categories, names, file, "categories") if options.categories else ""
    extra = {name: find_column(name, names, file, "item_columns") for name in options.item_columns}
    brought = dict(map(name_and_file, options.item_vectors))
    listed = {name: find_column(name, names, file, "item_vectors") for name, path in brought.items() if not path}
    start = names.index(categories) if categories else 0
    spread = names[start : start + len(flags)] if categories and flags else [categories] if categories else []
    selection = list(dict.fromkeys([item_id, *([title] if title else []), *spread, *extra.values(), *listed.values()]))
    bad: dict[str, tuple[int, str]] = {}

    def leave_out(reason: str, count: int, example: str) -> None:
        before, first = bad.get(reason, (0, example))
        bad[reason] = before + count, first

    lists = [*([categories] if categories else []), *listed.values()]
    told = leave_out if options.skip_bad_rows else None
    read = list(source.frames(selection, bad_rows=told, lists=lists))
    places, blocks = np.concatenate([rows for rows, _ in read] or [np.zeros(0, np.uint32)]), [rows for _, rows in read]

    def where(row: int) -> tuple[Path, int]:
        return source.where(int(places[row])) if len(places) else (file, 1)

    for reason, (count, example) in bad.items():
        source.warnings.append(f"{source.name}: {count:,} rows are left out: {reason} ({example})")
    frame = pl.concat(blocks or [pl.DataFrame(schema=dict.fromkeys(selection, pl.String))], how="vertical_relaxed")
    values = Values(options.decimal, options.missing, options.missing_words)
    ids = clean_ids(ids_as_text(frame[item_id], str(file), "item-id"), missing_words=options.missing_words)
    columns = {
        "item_id": ids,
        "title": values.text(frame[title]).fill_null("") if title else pl.Series([""]).new_from_index(0, len(ids)),
        "categories": _categories(frame, categories, spread, options),
        **{name: values.column(frame[column]) for name, column in extra.items()},
        **{name: vectors_of_lists(frame[column], name, where) for name, column in listed.items()},
        **{name: vectors_of_file(Path(path), name, frame.height) for name, path in brought.items() if path},
    }
    table = pl.DataFrame([column.alias(name) for name, column in columns.items()])
    return table.filter(pl.col("item_id").is_not_null()).unique("item_id", keep="first", maintain_order=True)


def _categories(frame: pl.DataFrame, name: str, spread: list[str], options: PrepareOptions) -> pl.Series:
    """Returns each item's categories, without blanks."""
    if options.category_flags:
        flags = zip(spread, options.category_flags, strict=True)
        marked = [pl.when(pl.col(column).cast(pl.String) == "1").then(pl.lit(flag)) for column, flag in flags]
        listed = pl.concat_list(marked)
    elif not name:
        return pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, frame.height)
    elif isinstance(frame.schema[name], pl.List):
        listed = pl.col(name).cast(pl.List(pl.String))
    else:
        listed = pl.col(name).cast(pl.String).str.split(options.category_separator)
    clean = listed.list.eval(pl.element().str.strip_chars().replace("", None).drop_nulls()).fill_null([])
    return frame.select(clean).to_series()
