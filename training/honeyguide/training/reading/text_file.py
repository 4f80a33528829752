"""Reads a text table block by block, so that memory does not grow with the file, and names each line that is broken."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.reading.columns import shorten
from honeyguide.training.reading.dialect import TextFormat, detect_separator, separator_name
from honeyguide.training.reading.file_kind import FileKind, OpenFile
from honeyguide.training.reading.structure import QuoteFault, Rows, rows_of

__all__ = ["BadRows", "TextFile", "decoded_blocks"]

BadRows = Callable[[str, int, str], None]
"""Is told of rows that are left out: the reason, how many, and one of them."""

BLOCK = 1 << 19
"""Bytes read at a time: half a megabyte is as fast as larger ones, and an eighth of the memory of 4 MB."""
LONGEST = 1 << 24
"""Bytes that a row may have, so that a quote that nothing closes does not take all memory."""
_SMALL = 1 << 14
"""Bytes looked at after a broken row: what is looked at beyond the next one is looked at again."""
_FIELD, _QUOTE, _SEPARATOR, _ESCAPE = b"\x1f", b"\x01", b"\x02", b"\x03"
"""Stand in for a separator of several bytes, and for a quote, separator or escape made plain by an escape."""


@dataclass(slots=True)
class _Block:
    """Whole rows of a file, with the file's line that each begins in."""

    data: NDArray[np.uint8]
    rows: Rows
    lines: NDArray[np.int64]
    keep: NDArray[np.bool_]


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
        self.path, self._kind, self._text, self._flags, self._warnings = path, kind, text, flags, warnings
        self.encoding = kind.mark or text.encoding
        self._quote = text.quote.encode()
        head = next(self._decoded(lambda _: None), b"").decode()
        if not head.strip():
            raise DataError("the file is empty", file=str(path), remedy="name a file that has rows")
        self.detected = False
        self.separator = text.separator
        if not self.separator:
            self.separator, self.detected = detect_separator(head, path, text.quote)
        raw = self.separator.encode()
        self._single = raw if len(raw) == 1 else _FIELD
        self._width = 0
        names = self._header()
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
        header, short, first_short = self._text.header, 0, 0
        for block in self._blocks(bad_rows, progress):
            if header and block.keep.any():
                block.keep[int(block.keep.argmax())] = False
                header = False
            self._check_surplus(block, bad_rows)
            lacking = block.keep & (block.rows.fields < len(self.columns))
            if lacking.any():
                first_short = first_short or int(block.lines[lacking.argmax()])
                short += int(lacking.sum())
            if block.keep.any():
                yield block.lines[block.keep], self._parse(block, self._width, numbers).select(chosen)
        if short:
            self._warnings.append(
                f"{short:,} rows have fewer fields than {'the header' if self._text.header else 'the first row'} "
                f"(first: {self.path.name} row {first_short}); the missing ones are empty"
            )

    def _header(self) -> list[str]:
        for block in self._blocks(None, lambda _: None):
            if block.keep.any():
                first = int(block.keep.argmax())
                block.keep[:] = False
                block.keep[first] = True
                width = int(block.rows.fields[first])
                return [str(name or "") for name in self._parse(block, width, range(width)).row(0)]
        raise DataError("the file is empty", file=str(self.path), remedy="name a file that has rows")

    def _parse(self, block: _Block, width: int, numbers: Sequence[int]) -> pl.DataFrame:
        """Returns some fields of a block's rows as columns c0, c1, …; fields beyond ``width`` are empty."""
        rows, data = block.rows, block.data[: block.rows.size]
        count = int(block.keep.sum())
        if count < len(rows) or len(rows.blanks):
            keep = np.repeat(block.keep, rows.ends - rows.starts + 1)
            keep[rows.blanks] = False
            data = data[keep]
        # A header of our own in front: with one, rows that are too short end in nulls.
        head = self._single.join(b"c%d" % i for i in range(width)) + b"\n"
        distinct = sorted(set(numbers))
        try:
            frame = pl.read_csv(
                head + data.tobytes(),
                columns=[f"c{i}" for i in distinct],
                separator=self._single.decode(),
                quote_char=self._text.quote or None,
                infer_schema=False,
                truncate_ragged_lines=True,
            )
        except pl.exceptions.PolarsError as error:
            raise self._refusal(
                f"the rows from here on cannot be read ({str(error).splitlines()[0]})", block
            ) from error
        if frame.height != count:  # never in silence: what was counted is what is read
            raise self._refusal(f"of {count} rows from here on {frame.height} were read", block)
        if rows.quoted:
            frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
        if self._text.escape:
            plain = ((_QUOTE, self._text.quote), (_SEPARATOR, self.separator), (_ESCAPE, self._text.escape))
            for mark, character in plain:
                frame = frame.with_columns(pl.all().str.replace_all(mark.decode(), character, literal=True))
        return frame

    def _refusal(self, problem: str, block: _Block) -> DataError:
        line = int(block.lines[block.keep.argmax()])
        return DataError(problem, file=str(self.path), row=line, remedy=self._check())

    def _check(self) -> str:
        return f"check the quotes and --{self._flags}separator (it is {separator_name(self.separator)!r})"

    def _check_surplus(self, block: _Block, bad_rows: BadRows | None) -> None:
        """Refuses, or leaves out, rows with more fields than there are columns, unless these are empty."""
        rows = block.rows
        wrong = block.keep & (rows.fields > self._width)
        wrong &= rows.ends - rows.surplus_from != rows.fields - self._width  # more than separators to the end
        if not wrong.any():
            return
        at = int(wrong.argmax())
        line, fields = int(block.lines[at]), int(rows.fields[at])
        named = "the header names" if self._text.header else "the first row has"
        if bad_rows is None:
            raise DataError(
                f"the row has {fields} fields, and {named} {self._width}",
                file=str(self.path),
                row=line,
                remedy=f"repair the row: a field that contains {separator_name(self.separator)!r} needs quotes; "
                "leave such rows out with --skip-bad-rows; or " + self._check(),
            )
        text = self._plain(block.data[rows.starts[at] : rows.ends[at]].tobytes())
        bad_rows(f"more fields than {named.rsplit(' ', 1)[0]} has", int(wrong.sum()), f"row {line}: {text}")
        block.keep &= ~wrong

    def _plain(self, data: bytes) -> str:
        return shorten(data[:400].decode(errors="replace").replace("\n", "⏎"))

    def _decoded(self, progress: Callable[[int], None]) -> Iterator[bytes]:
        return decoded_blocks(self.path, self.encoding, self._flags, progress)

    def _blocks(self, bad_rows: BadRows | None, progress: Callable[[int], None]) -> Iterator[_Block]:
        """Yields whole rows; a line end inside quotes ends none."""
        rest, line = b"", 1
        for chunk in chain(self._translated(self._decoded(progress)), [None]):
            last = chunk is None
            buffer = rest + (chunk or b"")
            if last and buffer and not buffer.endswith(b"\n"):
                buffer += b"\n"
            all_data = np.frombuffer(buffer, np.uint8)
            position, window = 0, len(buffer)
            while position < len(buffer):
                data = all_data[position : position + window]
                to_end = position + window >= len(buffer)
                final = to_end and (last or len(data) > LONGEST)
                rows = rows_of(
                    data, self._single[0], self._quote[0] if self._quote else -1, self._width or len(data), last=final
                )
                if len(rows):
                    yield _Block(data, rows, self._lines(rows, line), self._filled(data, rows))
                    position += rows.size
                    line += rows.line_count
                if rows.fault:
                    end = buffer.find(b"\n", position) + 1
                    if not end and not last:
                        break  # of this row more is to come
                    self._leave_out(data, rows.fault, line, bad_rows)
                    position, line, window = end or len(buffer), line + 1, _SMALL
                elif to_end:
                    if len(data) - rows.size > LONGEST:
                        raise DataError(
                            f"the row is longer than {LONGEST >> 20} MB",
                            file=str(self.path),
                            row=line,
                            remedy=self._check(),
                        )
                    break
                else:
                    window *= 2
            rest = buffer[position:]

    def _lines(self, rows: Rows, line: int) -> NDArray[np.int64]:
        return line + (np.arange(len(rows)) if rows.lines is None else rows.lines)

    def _filled(self, data: NDArray[np.uint8], rows: Rows) -> NDArray[np.bool_]:
        """Says which rows are not blank lines."""
        filled = rows.ends > rows.starts
        if self._width != 1:
            for at in np.flatnonzero(filled & (rows.fields == 1) & np.isin(data[rows.starts], (32, 9))):
                filled[at] = bool(data[rows.starts[at] : rows.ends[at]].tobytes().strip())
        return filled

    def _leave_out(self, data: NDArray[np.uint8], fault: QuoteFault, line: int, bad_rows: BadRows | None) -> None:
        """Refuses the row with a quote that makes no sense, or tells that it is left out."""
        shown = self._plain(data[fault.row_start : fault.row_start + 400].tobytes().partition(b"\n")[0])
        if bad_rows is not None:
            bad_rows("a quote makes no sense", 1, f"row {line}: {shown}")
            return
        columns = getattr(self, "columns", [])  # none while the header is read
        at = data[fault.place : fault.place + 400].tobytes()
        escaped = b'\\"' in at or (fault.place > 0 and data[fault.place - 1] == 92)
        remedy = f"--{self._flags}escape '\\'" if escaped else f"--{self._flags}quote none"
        meaning = "a backslash makes a quote plain" if escaped else "quotes are plain characters"
        raise DataError(
            f"{fault.problem}: {shown}",
            file=str(self.path),
            row=line,
            column=shorten(columns[fault.field]) if fault.field < len(columns) else "",
            remedy=f"say {remedy} if {meaning}; repair the row (a quote inside quotes is doubled); "
            "or leave such rows out with --skip-bad-rows",
        )

    def _translated(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Puts single bytes in the place of a separator of several, and of what is escaped."""
        raw, escape, quote = self.separator.encode(), self._text.escape.encode(), self._quote
        if len(raw) == 1 and not escape:
            yield from blocks
            return
        used = (_FIELD if len(raw) > 1 else b"") + (_QUOTE + _SEPARATOR + _ESCAPE if escape else b"")
        held, line = b"", 1
        for block in blocks:
            for byte in used:
                if (at := block.find(byte)) >= 0:
                    raise DataError(
                        f"the file has the control character 0x{byte:02x}",
                        file=str(self.path),
                        row=line + block.count(b"\n", 0, at),
                        remedy=f"take it out, or choose another --{self._flags}separator",
                    )
            line += block.count(b"\n")
            whole = held + block
            cut = len(whole.rstrip(raw + escape))  # a separator or an escape may go on in the next block
            text, held = whole[:cut], whole[cut:]
            yield self._replaced(text, raw, escape, quote)
        if held:
            yield self._replaced(held, raw, escape, quote)

    def _replaced(self, text: bytes, raw: bytes, escape: bytes, quote: bytes) -> bytes:
        if escape:
            text = text.replace(escape + escape, _ESCAPE).replace(escape + raw, _SEPARATOR)
            text = text.replace(escape + quote, _QUOTE) if quote else text
        return text.replace(raw, _FIELD) if len(raw) > 1 else text


def decoded_blocks(path: Path, encoding: str, flags: str, progress: Callable[[int], None]) -> Iterator[bytes]:
    """Yields a text file's content as UTF-8 with lines that end in LF, whatever they end in.

    Args:
        path: the file, gzipped or not.
        encoding: how it is encoded.
        flags: begins the names of options in remedies, such as "items-".
        progress: is told the bytes read so far, packed ones where the file is.

    Raises:
        ConfigError: where there is no such encoding.
        DataError: naming the line of what is not in the encoding.
    """
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise ConfigError(f"encoding {encoding!r} is unknown; try utf-8, latin-1 or cp1252") from None
    option, line, held, old_mac = f"--{flags}encoding", 1, b"", None
    with OpenFile(path) as file:
        while True:
            data = file.read(BLOCK)
            try:
                text = held + decoder.decode(data, final=not data).encode()
            except UnicodeError as error:
                raise _undecodable(path, encoding, error, line, option) from None
            held = b""
            progress(file.position())
            if b"\0" in text:
                raise DataError(
                    "the file has a NUL byte, which text has not",
                    file=str(path),
                    row=line + text.count(b"\n", 0, text.index(b"\0")),
                    remedy=f"say {option} utf-16-le or utf-16-be if it is such text; else take it out",
                )
            if text.endswith(b"\r") and data:
                text, held = text[:-1], b"\r"  # an LF may follow
            if b"\r" in text:
                if old_mac is None:
                    old_mac = b"\n" not in text
                text = text.replace(b"\r\n", b"\n")
                if old_mac:
                    text = text.replace(b"\r", b"\n")
            elif old_mac is None and b"\n" in text:
                old_mac = False
            line += int(np.count_nonzero(np.frombuffer(text, np.uint8) == 10))  # a tenth of the time of bytes.count
            if text:
                yield text
            if not data:
                return


def _undecodable(path: Path, encoding: str, error: UnicodeError, line: int, option: str) -> DataError:
    problem = f"the text is not {encoding}"
    if isinstance(error, UnicodeDecodeError):
        line += error.object[: error.start].count(b"\n")
        problem = f"byte 0x{error.object[error.start]:02x} is not {encoding}"
    return DataError(problem, file=str(path), row=line, remedy=f"say how the file is encoded, such as {option} latin-1")
