"""Reads users to score from Parquet, CSV or JSON lines, in bounded memory and told apart by content, gzipped or not.

Columns are `user_id` (text, or whole numbers, which become their text), or `history` (lists of item ids), or both;
optionally `history_time_ms` (lists of whole numbers) beside `history`. Other columns are ignored. In CSV a list is its
entries with blanks between.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from honeyguide.answers import History, UserRow
from honeyguide.answers.arguments import ArgumentError, as_id, as_moment, as_real
from honeyguide.client.errors import InputError

__all__ = ["UserFile"]

READ_ROWS = 256
"""Users of a Parquet file in memory at once; a history may have 4,096 events."""
_COLUMNS = ("user_id", "history", "history_time_ms")
_MISSING = frozenset(("", "nan", "NaN", "NAN", "null", "NULL", "None", "<NA>", r"\N"))
"""What stands for no id, as in `honeyguide prepare`."""
_SEPARATORS = ",;\t|"


class UserFile:
    """File of users, read as often as asked."""

    def __init__(self, path: Path) -> None:
        """Opens the file and checks what it holds; raises InputError with line or column and remedy."""
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file", remedy="give a file with a column user_id or history")
        with path.open("rb") as file:
            start = file.read(4)
        if not start:
            raise InputError(f"{path}: the file is empty", remedy="write it again: Parquet, CSV or JSON lines")
        if start.startswith(b"PK"):
            raise InputError(f"{path}: this is a workbook or an archive", remedy="save it as CSV, or unpack it")
        self._source: _Source = _Parquet(path) if start == b"PAR1" else _Text(path)
        self.rows = self._source.rows
        self.has_ids = "user_id" in self._source.columns

    def fingerprint(self) -> str:
        """Gives the SHA-256 of the file's bytes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def users(self, start: int = 0) -> Iterator[UserRow]:
        """Yields the users from row `start` on.

        A row without anybody is the user "", which the server refuses by name.
        """
        return self._source.users(start)


class _Source(Protocol):
    rows: int
    columns: Sequence[str]

    def users(self, start: int) -> Iterator[UserRow]: ...


class _Parquet:
    """Users in Parquet; row groups before the start are not read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: this is not a whole Parquet file", remedy="write it again as Parquet") from error
        self.rows = int(self._file.metadata.num_rows)
        schema = self._file.schema_arrow
        self.columns: Sequence[str] = _known_columns(path, schema.names)
        for name in self.columns:
            _check_type(path, name, schema.field(name).type)
        if any(pa.types.is_floating(_value_type(schema.field(name).type)) for name in self.columns):
            for _ in self.users(0):  # a fraction is told before any call
                pass

    def users(self, start: int) -> Iterator[UserRow]:
        skip, groups, row = start, list(range(self._file.num_row_groups)), 0
        while groups and skip >= (size := self._file.metadata.row_group(groups[0]).num_rows):
            skip, row = skip - size, row + size
            groups.pop(0)
        for batch in (
            self._file.iter_batches(READ_ROWS, row_groups=groups, columns=list(self.columns)) if groups else ()
        ):
            if skip < batch.num_rows:
                yield from self._users_of(batch.slice(skip), row + skip)
            skip, row = max(skip - batch.num_rows, 0), row + batch.num_rows

    def _users_of(self, batch: pa.RecordBatch, row: int) -> Iterator[UserRow]:
        nothing: list[None] = [None] * batch.num_rows
        try:
            names = _ids("user_id", batch["user_id"]).to_pylist() if "user_id" in self.columns else nothing
            histories = _lists("history", batch["history"]) if "history" in self.columns else nothing
            times = (
                _lists("history_time_ms", batch["history_time_ms"]) if "history_time_ms" in self.columns else nothing
            )
        except ArgumentError as error:
            where = f"{self._path}, rows {row:,} to {row + batch.num_rows - 1:,}"
            raise InputError(f"{where}: {error}", field=error.field, remedy="cast the column to text") from error
        for name, items, moments in zip(names, histories, times, strict=True):
            if items is None or (name is None and not items and "user_id" in self.columns):
                yield UserRow(name or "")
            else:
                yield UserRow(name, History(items, moments or ()))


class _Text:
    """Users in CSV or JSON lines; all is read once first, so that what is wrong is said before any call."""

    def __init__(self, path: Path) -> None:
        self._path, self._line = path, 0
        self.columns: Sequence[str] = ()
        self.rows = sum(1 for _ in self.users(0))

    def users(self, start: int) -> Iterator[UserRow]:
        return itertools.islice(self._all(), start, None)

    def _all(self) -> Iterator[UserRow]:
        self._line = 0
        try:
            with self._path.open("rb") as raw:
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                binary: Any = gzip.GzipFile(fileobj=raw) if packed else raw
                with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
                    for record in self._records(text):
                        yield _user(record)
        except ArgumentError as error:
            where = f"{self._path}, line {self._line:,}"
            raise InputError(f"{where}: {error}", field=error.field, remedy=error.remedy) from error
        except UnicodeError as error:
            problem = f"{self._path}, after line {self._line:,}: this is not text in UTF-8"
            raise InputError(problem, remedy="save it in UTF-8, or as Parquet") from error
        except (OSError, EOFError) as error:
            problem = f"{self._path}, after line {self._line:,}: this cannot be read ({error})"
            raise InputError(problem, remedy="write it again") from error

    def _records(self, text: io.TextIOWrapper) -> Iterator[Mapping[str, Any]]:
        """Returns the columns of each row; `_line` is the line of the file that was read last."""
        first = ""
        for self._line, first in enumerate(text, 1):
            if first.strip():
                break
        if first.lstrip().startswith("{"):
            return self._json_lines(itertools.chain([first], text))
        return self._csv(first, text)

    def _json_lines(self, lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        first = self._line
        for self._line, line in enumerate(lines, first):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"{self._path}, line {self._line:,}: this is no JSON ({error})", remedy="write one object a line"
                ) from error
            if not isinstance(record, dict):
                raise InputError(
                    f"{self._path}, line {self._line:,}: this is no object", remedy="write one object a line"
                )
            names = _known_columns(f"{self._path}, line {self._line:,}", list(record))
            self.columns = [name for name in _COLUMNS if name in names or name in self.columns]
            yield {name: _listed(name, record[name]) for name in names}

    def _csv(self, header: str, lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        above, separator = self._line, max(_SEPARATORS, key=header.count)
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        self.columns = _known_columns(self._path, names)
        places = [(name, names.index(name)) for name in self.columns]
        reader = csv.reader(lines, delimiter=separator, strict=True)
        try:
            for cells in reader:
                self._line = above + reader.line_num
                if not cells:
                    continue
                if len(cells) < len(names):
                    raise InputError(
                        f"{self._path}, line {self._line:,}: {len(cells)} fields; the first line names {len(names)}",
                        remedy="quote what holds the separator, or write Parquet or JSON lines",
                    )
                yield {name: _cell(name, cells[place].strip()) for name, place in places}
        except csv.Error as error:
            problem = f"{self._path}, line {above + reader.line_num:,}: this is no CSV ({error})"
            raise InputError(problem, remedy="write Parquet or JSON lines") from error


def _user(record: Mapping[str, Any]) -> UserRow:
    given, history, times = (record.get(name) for name in _COLUMNS)
    missing = given is None or (isinstance(given, float) and math.isnan(given))
    name = None if missing else _from_text(as_id("user_id", given))
    if history is None or (name is None and not history and "user_id" in record):
        return UserRow(name or "")
    items = ["" if item is None else as_id(f"history[{place}]", item) for place, item in enumerate(history)]
    moments = [as_moment(f"history_time_ms[{place}]", moment) for place, moment in enumerate(times or ())]
    return UserRow(name, History(items, moments))


def _cell(name: str, text: str) -> Any:
    """Reads one cell of CSV, where everything is text."""
    if name == "user_id":
        return _from_text(text)
    if name == "history":
        return [_from_text(each) for each in text.split()]
    return [int(each) if re.fullmatch(r"-?\d+", each) else each for each in text.split()]


def _from_text(text: str) -> str | None:
    """Reads an id out of text, as `honeyguide prepare` does: 17850.0 is 17850; None where there is none."""
    text = text.strip()
    if text in _MISSING:
        return None
    return text.partition(".")[0] if "." in text and re.fullmatch(r"-?\d+\.0+", text) else text


def _listed(name: str, value: Any) -> Any:
    """Takes a value of JSON, which for a list must be one."""
    if name != "user_id" and not isinstance(value, list | None):
        raise ArgumentError(name, value, "a list")
    return value


def _known_columns(path: Path | str, names: Sequence[str]) -> list[str]:
    known = [name for name in _COLUMNS if name in names]
    if not {"user_id", "history"} & set(known):
        raise InputError(
            f"{path}: neither column 'user_id' nor 'history' is there; it has {', '.join(names) or 'none'}",
            remedy="name the column of users user_id; in CSV the first line names the columns",
        )
    return known


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    """Raises InputError unless the column is of its type."""
    value = _value_type(kind)
    text = pa.types.is_string(value) or pa.types.is_large_string(value)
    number = pa.types.is_integer(value) or pa.types.is_floating(value)
    right, allowed = {
        "user_id": ((text or number) and not _is_list(kind), "text or whole numbers"),
        "history": ((text or number) and _is_list(kind), "lists of text or whole numbers, the item ids"),
        "history_time_ms": (pa.types.is_integer(value) and _is_list(kind), "lists of whole numbers, milliseconds"),
    }[name]
    if not right:
        raise InputError(
            f"{path}: column '{name}' is {kind}; allowed: {allowed}", field=name, remedy="cast the column and try again"
        )


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) or _is_list(kind) else kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _ids(name: str, column: pa.Array) -> pa.Array:
    """Makes text of ids; a float that is not a number is missing, and one with a fraction is refused."""
    if not pa.types.is_floating(column.type):
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        text = pc.replace_substring_regex(text, r"^([+-]?\d+)\.0+$", r"\1")
        return pc.if_else(pc.is_in(text, pa.array(sorted(_MISSING))), pa.scalar(None, pa.string()), text)
    missing = pc.is_nan(column)
    values = pc.if_else(pc.fill_null(missing, False), pa.scalar(None, column.type), column).cast(pa.float64())
    whole = pc.and_(pc.less(pc.abs(values), 2.0**53), pc.equal(pc.floor(values), values))
    wrong = pc.filter(values, pc.fill_null(pc.invert(whole), False))
    if len(wrong):
        raise ArgumentError(name, as_real(wrong[0].as_py()), "text or whole numbers")
    return values.cast(pa.int64()).cast(pa.string())


def _lists(name: str, column: pa.Array) -> list[list[Any] | None]:
    """Gives a column of lists as Python lists: one conversion for all values is several times faster than one a row."""
    offsets = column.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    values = column.values.slice(first, last - first)
    if name == "history":
        values = pc.fill_null(_ids(name, values), "").to_pylist()
    else:
        values = pc.fill_null(values.cast(pa.int64()), 0).to_pylist()
    bounds = zip(offsets, offsets[1:], column.is_valid().to_pylist(), strict=False)
    return [values[start - first : stop - first] if valid else None for start, stop, valid in bounds]
