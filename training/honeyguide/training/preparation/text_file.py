"""Reads text tables block by block, so that memory does not grow with the file, and says where one is broken."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from honeyguide.sdk.errors import ConfigError, DataError

if TYPE_CHECKING:  # so that a preset looks at a first line without loading polars
    import polars as pl

__all__ = ["TextFile", "find_column", "first_line"]

BLOCK = 1 << 19
"""Characters read at a time: half a megabyte is as fast as larger ones, and an eighth of the memory of 4 MB."""
_NAMED = {"tab": "\t", "space": " ", "\\t": "\t"}
_BY_ENDING = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
_QUOTING = (",", ";")
_FIELD = "\x1f"  # ASCII's unit separator stands in for separators of several characters


@dataclass(frozen=True, slots=True)
class TextFile:
    """Text table on disk. Rows count from 1, the header included, as editors and spreadsheets count."""

    path: Path
    separator: str = ""
    """Between fields, one or more characters; "tab", "space", "" = by the file's ending."""
    header: bool = True
    encoding: str = "utf-8"

    def columns(self) -> list[str]:
        """Returns the names in the header, or "1", "2", … without one; raises `DataError` on an empty file."""
        line = first_line(self.path, self.encoding)
        if not line.strip():
            raise DataError(
                "the file is empty, or begins with an empty row",
                file=str(self.path),
                remedy="name a file that has rows",
            )
        fields = self._parse(line, None, 1).row(0)
        if self.header:
            return [str(field or "").strip() for field in fields]
        return [str(i + 1) for i in range(len(fields))]

    def frames(
        self, selection: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yields each block's first row number and the selected columns as text; an empty field is null.

        Args:
            selection: names out of `columns`.
            progress: is told the number of bytes read so far, compressed bytes where the file is.

        Raises:
            DataError: naming the row of what is not in the encoding, or has more fields than there are columns.
        """
        import polars as pl

        names = self.columns()
        columns = [pl.col(f"c{names.index(name)}").alias(name) for name in selection]
        row = 1
        for text in self._blocks(progress):
            lines = text.count("\n")
            if self.header and row == 1:
                row, lines, text = 2, lines - 1, text.partition("\n")[2]  # the header is no row
            if lines:
                yield row, self._parse(text, len(names), row).select(columns)
            row += lines

    def _separator(self) -> str:
        given = _NAMED.get(self.separator, self.separator)
        ending = Path(self.path.name.removesuffix(".gz")).suffix.lower()
        return given or _BY_ENDING.get(ending, ",")

    def _parse(self, text: str, fields: int | None, row: int) -> pl.DataFrame:
        """Returns the fields of some lines as text columns c0, c1, …; ``row`` is the first line's number."""
        import polars as pl

        separator = self._separator()
        single = separator if len(separator) == 1 else _FIELD
        plain = text if single == separator else text.replace(separator, _FIELD)
        if fields:  # a header of our own in front: with one, rows that are too short end in nulls
            plain = single.join(f"c{i}" for i in range(fields)) + "\n" + plain
        try:
            return pl.read_csv(
                plain.encode(),
                has_header=bool(fields),
                separator=single,
                quote_char='"' if separator in _QUOTING else None,
                infer_schema=False,
            )
        except pl.exceptions.PolarsError as error:
            lines = enumerate(text.split("\n"))
            long = [i for i, line in lines if fields and line.count(separator) >= fields]
            raise DataError(
                f"the row has more fields than the first row, which has {fields}"
                if long
                else f"the rows from here on cannot be read as fields ({str(error).splitlines()[0]})",
                file=str(self.path),
                row=row + (long[0] if long else 0),
                remedy=f"check quotes and --separator (it is {separator!r})",
            ) from error

    def _blocks(self, progress: Callable[[int], None] | None) -> Iterator[str]:
        """Yields whole lines; a line break between double quotes ends none."""
        quoted = self._separator() in _QUOTING
        decoder = _decoder(self.encoding)
        row, rest = 1, ""
        with _opened(self.path) as (file, raw):
            while True:
                data = _read(file, self.path)
                try:
                    rest += decoder.decode(data, final=not data)
                except UnicodeDecodeError as error:
                    before = error.object[: error.start].count(b"\n") + rest.count("\n")
                    raise _undecodable(self.path, self.encoding, error, row + before) from None
                if progress:
                    progress(raw.tell())
                if not data:
                    break
                cut = rest.rfind("\n") + 1
                while quoted and cut and rest.count('"', 0, cut) % 2:
                    cut = rest.rfind("\n", 0, cut - 1) + 1
                if cut:
                    yield rest[:cut]
                    row += rest.count("\n", 0, cut)
                    rest = rest[cut:]
        if rest.strip("\r\n"):
            yield rest + "\n"


def find_column(name: str, names: Sequence[str], file: Path, option: str) -> str:
    """Returns the column called ``name``, or the only one called ``name:type``; raises `DataError` naming them all."""
    for matches in ([c for c in names if c == name], [c for c in names if c.partition(":")[0] == name]):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise DataError("the header names this column twice", file=str(file), column=name, remedy="rename one")
    raise DataError(
        "there is no such column",
        file=str(file),
        column=name,
        remedy=f"choose --{option.replace('_', '-')} from: {', '.join(names)}",
    )


def first_line(path: Path, encoding: str = "utf-8") -> str:
    """Returns a text file's first line, without its end; "" where the file is empty."""
    decoder = _decoder(encoding)
    text = ""
    with _opened(path) as (file, _):
        while "\n" not in text and (data := _read(file, path)):
            try:
                text += decoder.decode(data)
            except UnicodeDecodeError as error:
                raise _undecodable(path, encoding, error, 1 + error.object[: error.start].count(b"\n")) from None
    return text.partition("\n")[0].rstrip("\r")


class _opened:  # noqa: N801  # reads as a function
    """Open file, gzipped or not, as (bytes, file whose position says how far reading is)."""

    def __init__(self, path: Path) -> None:
        try:
            self._raw: IO[bytes] = path.open("rb")
        except FileNotFoundError:
            raise DataError("there is no such file", file=str(path), remedy="check the path") from None
        except OSError as error:
            raise DataError(
                f"the file cannot be opened ({error.strerror})", file=str(path), remedy="name a readable file"
            ) from error
        self._zipped = path.suffix == ".gz"

    def __enter__(self) -> tuple[IO[bytes] | gzip.GzipFile, IO[bytes]]:
        return (gzip.GzipFile(fileobj=self._raw) if self._zipped else self._raw), self._raw

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _read(file: IO[bytes] | gzip.GzipFile, path: Path) -> bytes:
    try:
        return file.read(BLOCK)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"the file cannot be read ({error})", file=str(path), remedy="fetch it again") from error


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        # utf-8-sig drops the mark that spreadsheets put in front
        return codecs.getincrementaldecoder("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)()
    except LookupError:
        raise ConfigError(f"encoding {encoding!r} is unknown; try utf-8, latin-1 or cp1252") from None


def _undecodable(path: Path, encoding: str, error: UnicodeDecodeError, row: int) -> DataError:
    return DataError(
        f"byte 0x{error.object[error.start]:02x} is not {encoding}",
        file=str(path),
        row=row,
        remedy="say how the file is encoded, such as --encoding latin-1 (--items-encoding for the items file)",
    )
