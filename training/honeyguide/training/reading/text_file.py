"""Reads a text table block by block, so that memory does not grow with the file, and names each line that is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.decoding import decoded_blocks
from honeyguide.training.reading.dialect import TextFormat, detect_separator, separator_name
from honeyguide.training.reading.file_kind import FileKind
from honeyguide.training.reading.row_blocks import BadRows, RowBlock, RowBlocks

__all__ = ["TextFile"]


class TextFile:
    """Text table on disk. Its lines count from 1, the header's and blank ones included, as editors count."""

    def __init__(self, path: Path, kind: FileKind, text: TextFormat, flags: str, warnings: list[str]) -> None:
        """Reads the header.

        Args:
            path: the file.
            kind: what its first bytes say.
            text: how it is written.
            flags: begins the names of options in remedies, such as "items-".
            warnings: is added to while reading.

        Raises:
            DataError: naming the line where it cannot be read, or saying that it is empty.
        """
        self.path, self._text, self._warnings = path, text, warnings
        self.encoding = kind.mark or text.encoding
        head = next(decoded_blocks(path, self.encoding, flags, lambda _: None), b"").decode()
        self.separator, self.detected = text.separator, False
        named = re.match(r"sep=(.)\n", head)  # a line of Excel's in front of the header
        if named and self.separator in ("", named[1]):
            self.separator, self.detected = named[1], True
        elif not self.separator:
            self.separator, self.detected = detect_separator(head, path, text.quote)
        self._preamble = int(bool(named))
        self._blocks = RowBlocks(path, self.encoding, text, self.separator, flags)
        names = self._first_row()
        self._width = len(names)
        self.columns = [name.strip() for name in names] if text.header else [str(i + 1) for i in range(len(names))]
        while text.header and len(self.columns) > 1 and not self.columns[-1]:
            self.columns.pop()  # a separator at the end of each row

    def frames(
        self, selection: Sequence[str], bad_rows: BadRows | None, progress: Callable[[int], None]
    ) -> Iterator[tuple[NDArray[np.int64], pl.DataFrame]]:
        """Yields the line that each row begins in, and the selected columns as text; an empty field is null.

        Args:
            selection: names out of ``columns``.
            bad_rows: is told of rows that are left out; None refuses the first.
            progress: is told the bytes read so far, packed ones where the file is.

        Raises:
            DataError: naming line and column of what cannot be read.
        """
        numbers = [self.columns.index(name) for name in selection]
        chosen = [pl.col(f"c{number}").alias(name) for number, name in zip(numbers, selection, strict=True)]
        before, short, first_short = self._preamble + self._text.header, 0, 0
        for block in self._blocks.read(self.columns, self._width, bad_rows, progress):
            before -= _drop_first(block, before)
            self._check_surplus(block, bad_rows)
            lacking = block.keep & (block.rows.fields < len(self.columns))
            if lacking.any():
                first_short = first_short or int(block.lines[lacking.argmax()])
                short += int(lacking.sum())
            if block.keep.any():
                yield block.lines[block.keep], self._parse(block, self._width, numbers).select(chosen)
        if short:
            fuller = "the header" if self._text.header else "the first row"
            self._warnings.append(
                f"{short:,} {'row has' if short == 1 else 'rows have'} fewer fields than {fuller} "
                f"(first: {self.path.name} row {first_short}); the missing ones are empty"
            )

    def _first_row(self) -> list[str]:
        before = self._preamble
        for block in self._blocks.read((), 0, None, lambda _: None):
            before -= _drop_first(block, before)
            if block.keep.any():
                first = int(block.keep.argmax())
                block.keep[:] = False
                block.keep[first] = True
                width = int(block.rows.fields[first])
                return [(name or "").replace("\n", " ") for name in self._parse(block, width, range(width)).row(0)]
        raise DataError("the file is empty", file=str(self.path), remedy="name a file that has rows")

    def _parse(self, block: RowBlock, width: int, numbers: Sequence[int]) -> pl.DataFrame:
        """Returns some fields of a block's rows as columns c0, c1, …; fields beyond ``width`` are left out."""
        rows, data = block.rows, block.data[: block.rows.size]
        count, line = int(block.keep.sum()), int(block.lines[block.keep.argmax()])
        if count < len(rows) or len(rows.blanks):
            keep = np.repeat(block.keep, rows.ends - rows.starts + 1)
            keep[rows.blanks] = False
            data = data[keep]
        mark = self._blocks.mark
        # A header of our own in front: with one, rows that are too short end in nulls.
        head = mark.join(b"c%d" % i for i in range(width)) + b"\n"
        try:
            frame = pl.read_csv(
                head + data.tobytes(),
                columns=[f"c{i}" for i in sorted(set(numbers))] or ["c0"],
                separator=mark.decode(),
                quote_char=self._text.quote or None,
                infer_schema=False,
                truncate_ragged_lines=True,
            )
        except pl.exceptions.PolarsError as error:
            reason = str(error).splitlines()[0]
            raise self._blocks.fault(f"the rows from here on cannot be read ({reason})", line) from error
        if frame.height != count:  # never in silence: what was counted is what is read
            raise self._blocks.fault(f"of {count} rows from here on {frame.height} were read", line)
        if rows.quoted:
            frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
        return self._blocks.restored(frame)

    def _check_surplus(self, block: RowBlock, bad_rows: BadRows | None) -> None:
        """Refuses, or leaves out, rows with more fields than there are columns, unless these are empty."""
        rows = block.rows
        wrong = block.keep & (rows.fields > self._width)
        wrong &= rows.ends - rows.surplus_from != rows.fields - self._width  # more than separators to the end
        nothing = self._blocks.mark + self._text.quote.encode() + b" \t"
        for at in map(int, np.flatnonzero(wrong)):
            wrong[at] = bool(block.data[rows.surplus_from[at] : rows.ends[at]].tobytes().strip(nothing))
        if not wrong.any():
            return
        at = int(wrong.argmax())
        line, fields = int(block.lines[at]), int(rows.fields[at])
        separator = separator_name(self.separator)
        if bad_rows is None:
            fuller = "the header names" if self._text.header else "the first row has"
            raise self._blocks.fault(
                f"the row has {fields} fields, and {fuller} {self._width}",
                line,
                remedy=f"repair the row: a field that contains {separator!r} needs quotes; "
                "leave such rows out with --skip-bad-rows; or ",
            )
        fuller = "the header" if self._text.header else "the first row"
        bad_rows(f"more fields than {fuller} has", int(wrong.sum()), f"row {line}: {block.row(at)}")
        block.keep &= ~wrong


def _drop_first(block: RowBlock, count: int) -> int:
    """Leaves out up to ``count`` of a block's first rows; returns how many."""
    first = np.flatnonzero(block.keep)[:count]
    block.keep[first] = False
    return len(first)
