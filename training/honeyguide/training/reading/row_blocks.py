"""Cuts a text table into blocks of whole rows, and refuses the rows whose quotes make no sense."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.columns import shorten
from honeyguide.training.reading.decoding import decoded_blocks
from honeyguide.training.reading.dialect import TextFormat, separator_name
from honeyguide.training.reading.structure import QuoteFault, Rows, rows_of

__all__ = ["BadRows", "RowBlock", "RowBlocks"]

BadRows = Callable[[str, int, str], None]
"""Is told of rows that are left out: the reason, how many, and one of them."""

LONGEST = 1 << 24
"""Bytes that a row may have, so that a quote that nothing closes does not take all memory."""
SMALL = 1 << 14
"""Bytes looked at after a broken row: what is looked at beyond the next one is looked at again."""
_FIELD, _QUOTE, _SEPARATOR, _ESCAPE = b"\x1f", b"\x01", b"\x02", b"\x03"
"""Stand in for a separator of several bytes, and for a quote, separator or escape made plain by an escape."""


@dataclass(slots=True)
class RowBlock:
    """Whole rows of a table."""

    data: NDArray[np.uint8]
    """UTF-8; may go on behind the last row."""
    rows: Rows
    lines: NDArray[np.int64]
    """The file's line in which each row begins."""
    keep: NDArray[np.bool_]
    """Which rows are read: blank lines are not."""

    def row(self, at: int) -> str:
        """Returns a row as a message shows it."""
        return _shown(self.data[self.rows.starts[at] : self.rows.ends[at]])


class RowBlocks:
    """Text table as blocks of whole rows."""

    def __init__(self, path: Path, encoding: str, text: TextFormat, separator: str, flags: str) -> None:
        """Takes the file, how it is written, and what the names of options in remedies begin with."""
        self._path, self._encoding, self._text, self._separator, self._flags = path, encoding, text, separator, flags
        raw = separator.encode()
        self.mark = raw if len(raw) == 1 else _FIELD
        """The byte between the fields of a block."""

    def read(
        self, columns: Sequence[str], width: int, bad_rows: BadRows | None, progress: Callable[[int], None]
    ) -> Iterator[RowBlock]:
        """Yields the blocks; a line end inside quotes ends no row.

        Args:
            columns: their names, for messages.
            width: how many fields a row may have, 0 where nobody knows yet.
            bad_rows: is told of rows that are left out; None refuses the first.
            progress: is told the bytes read so far, packed ones where the file is.

        Raises:
            DataError: naming line and column of a quote that makes no sense, or the line of what is no text.
        """
        quote = ord(self._text.quote) if self._text.quote else -1
        rest, line = b"", 1
        for chunk in chain(self._translated(progress), [None]):
            last = chunk is None
            buffer = rest + (chunk or b"")
            if last and buffer and not buffer.endswith(b"\n"):
                buffer += b"\n"
            everything = np.frombuffer(buffer, np.uint8)
            position, window = 0, len(buffer)
            while position < len(buffer):
                data = everything[position : position + window]
                to_end = position + window >= len(buffer)
                whole = to_end and (last or len(data) > LONGEST)
                rows = rows_of(data, self.mark[0], quote, width or len(data), last=whole)
                if len(rows):
                    lines = line + (np.arange(len(rows)) if rows.lines is None else rows.lines)
                    yield RowBlock(data, rows, lines, _filled(data, rows, width))
                    position += rows.size
                    line += rows.line_count
                if rows.fault:
                    end = buffer.find(b"\n", position) + 1
                    if not end and not last:
                        break  # of this row more is to come
                    self._leave_out(data, rows.fault, line, columns, bad_rows)
                    position, line, window = end or len(buffer), line + 1, SMALL
                elif to_end:
                    if len(data) - rows.size > LONGEST:
                        raise self.fault(f"the row is longer than {LONGEST >> 20} MB", line)
                    break
                else:
                    window *= 2
            rest = buffer[position:]

    def restored(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Returns text columns of a block with what was escaped."""
        if self._text.escape:
            plain = ((_QUOTE, self._text.quote), (_SEPARATOR, self._separator), (_ESCAPE, self._text.escape))
            for mark, character in plain:
                frame = frame.with_columns(pl.all().str.replace_all(mark.decode(), character, literal=True))
        return frame

    def fault(self, problem: str, line: int, remedy: str = "") -> DataError:
        """Returns what says that rows cannot be told apart as they should be."""
        check = f"check the quotes and --{self._flags}separator (it is {separator_name(self._separator)!r})"
        return DataError(problem, file=str(self._path), row=line, remedy=remedy + check)

    def _leave_out(
        self, data: NDArray[np.uint8], fault: QuoteFault, line: int, columns: Sequence[str], bad_rows: BadRows | None
    ) -> None:
        """Refuses the row with a quote that makes no sense, or tells that it is left out."""
        shown = _shown(data[fault.row_start :], one_line=True)
        if bad_rows is not None:
            bad_rows("a quote makes no sense", 1, f"row {line}: {shown}")
            return
        around = data[max(fault.place - 1, 0) : fault.place + 400].tobytes().partition(b"\n")[0]
        if b'\\"' in around:
            remedy = f"--{self._flags}escape '\\' if a backslash makes a quote plain"
        else:
            remedy = f"--{self._flags}quote none if quotes are plain characters"
        raise DataError(
            f"{fault.problem}: {shown}",
            file=str(self._path),
            row=line,
            column=shorten(columns[fault.field]) if fault.field < len(columns) else "",
            remedy=f"say {remedy}; repair the row (a quote inside quotes is doubled); "
            "or leave such rows out with --skip-bad-rows",
        )

    def _translated(self, progress: Callable[[int], None]) -> Iterator[bytes]:
        """Yields the text with single bytes in the place of a separator of several, and of what is escaped."""
        blocks = decoded_blocks(self._path, self._encoding, self._flags, progress)
        raw, escape = self._separator.encode(), self._text.escape.encode()
        if len(raw) == 1 and not escape:
            yield from blocks
            return
        used = (_FIELD if len(raw) > 1 else b"") + (_QUOTE + _SEPARATOR + _ESCAPE if escape else b"")
        held, line = b"", 1
        for block in blocks:
            for byte in used:
                if (at := block.find(byte)) >= 0:
                    problem = f"the file has the control character 0x{byte:02x}"
                    raise self.fault(problem, line + block.count(b"\n", 0, at), remedy="take it out; ")
            line += block.count(b"\n")
            text = held + block
            cut = len(text.rstrip(raw + escape))  # a separator or an escape may go on in the next block
            held = text[cut:]
            yield self._replaced(text[:cut])
        if held:
            yield self._replaced(held)

    def _replaced(self, text: bytes) -> bytes:
        raw, escape, quote = self._separator.encode(), self._text.escape.encode(), self._text.quote.encode()
        if escape:
            text = text.replace(escape + escape, _ESCAPE).replace(escape + raw, _SEPARATOR)
            text = text.replace(escape + quote, _QUOTE) if quote else text
        return text.replace(raw, _FIELD) if len(raw) > 1 else text


def _filled(data: NDArray[np.uint8], rows: Rows, width: int) -> NDArray[np.bool_]:
    """Says which rows are not blank lines."""
    filled = rows.ends > rows.starts
    if width != 1:
        for at in np.flatnonzero(filled & (rows.fields == 1) & np.isin(data[rows.starts], (32, 9))):
            filled[at] = bool(data[rows.starts[at] : rows.ends[at]].tobytes().strip())
    return filled


def _shown(data: NDArray[np.uint8], *, one_line: bool = False) -> str:
    text = data[:400].tobytes().decode(errors="replace")
    text = text.replace(_FIELD.decode(), " ").replace(_QUOTE.decode(), '"').replace(_ESCAPE.decode(), "\\")
    return shorten(text.partition("\n")[0] if one_line else text.replace("\n", "⏎"))
