"""Reads JSON lines: one object a line, a column for each key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.columns import shorten
from honeyguide.training.reading.decoding import decoded_blocks
from honeyguide.training.reading.dialect import TextFormat
from honeyguide.training.reading.file_kind import FileKind
from honeyguide.training.reading.row_blocks import BadRows

__all__ = ["JsonLines"]

_FIRST = 1000
"""Lines whose keys are the columns."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half of a surrogate pair: without the other half polars would make it a NUL."""


class JsonLines:
    """JSON objects, one a line. Values come as text: numbers in their shortest form, true and false by these words."""

    separator, detected = "", False

    def __init__(self, path: Path, kind: FileKind, text: TextFormat, flags: str, warnings: list[str]) -> None:
        """Reads the keys of the first lines; the arguments are those of `TextFile`."""
        self.path, self._flags, self._warnings = path, flags, warnings
        self.encoding = kind.mark or text.encoding
        self._decoder = json.JSONDecoder(parse_int=str, parse_float=str)
        keys: dict[str, None] = {}
        self._lists: set[str] = set()
        for line, row in islice(self._lines(), _FIRST):
            try:
                values = self._values(line, row)
            except DataError:
                if not keys:
                    raise
                continue  # told, or left out, where rows are read
            keys |= dict.fromkeys(values)
            self._lists |= {key for key, value in values.items() if isinstance(value, list)}
        if not keys:
            raise DataError("the file has no JSON objects", file=str(path), remedy="name a file that has rows")
        self.columns = list(keys)

    def frames(
        self,
        selection: Sequence[str],
        bad_rows: BadRows | None,
        progress: Callable[[int], None],
        lists: Sequence[str] = (),
    ) -> Iterator[tuple[NDArray[np.int64], pl.DataFrame]]:
        """Yields the line of each object and its values as text, null where it lacks a key.

        Args:
            selection: names out of ``columns``.
            bad_rows: is told of lines that are left out; None refuses the first.
            progress: is told the bytes read so far.
            lists: columns that may be lists, and then are lists of text.

        Raises:
            DataError: naming the line that is no JSON object, or has a nested value in a selected column.
        """
        listed = self._lists.intersection(lists)
        schema: dict[str, pl.DataType] = {
            name: pl.List(pl.String) if name in listed else pl.String() for name in selection
        }
        rest, line = b"", 1
        for block in self._blocks(progress):
            cut = block.rfind(b"\n") + 1
            data, rest = rest + block[:cut], block[cut:] if cut else rest + block
            if not cut:
                continue
            yield self._objects(data, line, schema, bad_rows)
            line += data.count(b"\n")
        if rest.strip():
            yield self._objects(rest, line, schema, bad_rows)

    def _blocks(self, progress: Callable[[int], None]) -> Iterator[bytes]:
        return decoded_blocks(self.path, self.encoding, self._flags, progress)

    def _lines(self) -> Iterator[tuple[bytes, int]]:
        """Yields the lines that are not blank, and their numbers."""
        rest, number = b"", 1
        for block in self._blocks(lambda _: None):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if line.strip():
                    yield line, number
                number += 1
        if rest.strip():
            yield rest, number

    def _objects(
        self, data: bytes, first: int, schema: dict[str, pl.DataType], bad_rows: BadRows | None
    ) -> tuple[NDArray[np.int64], pl.DataFrame]:
        """Returns the lines and values of a block."""
        texts = [name for name, kind in schema.items() if kind == pl.String]
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        if b"\n\n" not in data and not data.startswith(b"\n") and not _HALF.search(data):
            try:
                frame = pl.read_ndjson(data, schema=schema)
            except pl.exceptions.PolarsError:
                frame = None  # a broken line, or one that only Python reads, such as one with NaN
            if frame is not None and frame.height == lines:
                nested = pl.any_horizontal(pl.col(texts).str.contains(r"^\s*[\[{]")) if texts else pl.lit(value=False)
                if not frame.select(nested.any()).item():  # else it may be nested, or be text that looks like it
                    return np.arange(first, first + lines), frame
        numbers, rows = [], []
        for number, line in enumerate(data.split(b"\n"), first):
            if not line.strip():
                continue
            try:
                values = self._values(line, number)
            except DataError:
                if bad_rows is None:
                    raise
                bad_rows("no JSON object", 1, f"row {number}: {shorten(line[:400].decode())}")
                continue
            numbers.append(number)
            rows.append([self._text(values.get(name), name, number, name not in texts) for name in schema])
        return np.array(numbers, np.int64), pl.DataFrame(rows, schema=schema, orient="row")

    def _values(self, line: bytes, number: int) -> dict[str, Any]:
        problem = "it is no object"
        try:
            values = self._decoder.decode(line.decode())
            if _HALF.search(line):
                json.dumps(values, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            problem, values = "half of a surrogate pair, which is no character", None
        except (ValueError, RecursionError) as error:
            problem, values = str(error).partition(": line")[0], None
        if isinstance(values, dict):
            return values
        raise DataError(
            f"the line is no JSON object ({problem}): {shorten(line[:400].decode())}",
            file=str(self.path),
            row=number,
            remedy="repair the line, or leave such lines out with --skip-bad-rows",
        )

    def _text(self, value: Any, name: str, number: int, listed: bool) -> Any:
        if listed:
            values = value if isinstance(value, list) else [] if value is None else [value]
            return [self._text(each, name, number, listed=False) for each in values]
        if isinstance(value, list | dict):
            raise DataError(
                f"its value is nested: {shorten(json.dumps(value))}",
                file=str(self.path),
                row=number,
                column=name,
                remedy="choose a key of text or numbers, or write the nested ones as keys of their own",
            )
        return str(value).lower() if isinstance(value, bool) else value
