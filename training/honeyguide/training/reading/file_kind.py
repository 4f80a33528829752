"""Tells by the first bytes what a file is, whatever its name says, and opens it."""

from __future__ import annotations

import codecs
import gzip
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.columns import shorten

__all__ = ["FileKind", "OpenFile"]

_HEAD = 4096
_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, and how the file behind them is encoded."""
_SHEET = "open it as a spreadsheet and save the sheet as CSV (UTF-8)"
_TO_PARQUET = "write it as Parquet, as polars' or pandas' to-parquet functions do"
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "an old Office file (.xls)", _SHEET),
    (b"BZh", "packed by bzip2", "unpack it: bunzip2 --keep FILE"),
    (b"\xfd7zXZ\x00", "packed by xz", "unpack it: unxz --keep FILE"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it: zstd --decompress FILE"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it: 7z x FILE"),
    (b"Rar!", "a RAR archive", "unpack it: unrar x FILE"),
    (b"SQLite format 3\x00", "an SQLite database", "export a table: sqlite3 -header -csv FILE 'select * from TABLE'"),
    (b"ARROW1", "an Arrow (Feather) file", _TO_PARQUET),
    (b"Obj\x01", "an Avro file", _TO_PARQUET),
    (b"ORC", "an ORC file", _TO_PARQUET),
    (b"\x89HDF", "an HDF5 file", _TO_PARQUET),
    (b"%PDF", "a PDF", "name a table"),
)
"""What begins so, is called so, and becomes readable so."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What the first bytes say of a file."""

    kind: str
    """"text", "parquet" or "jsonl"."""
    gzip: bool = False
    mark: str = ""
    """Encoding that a byte order mark names, "" without one."""

    @classmethod
    def of(cls, path: Path) -> FileKind:
        """Looks into a file; raises `DataError` where it is none that can be read, with what it is."""
        with OpenFile(path) as file:
            head, packed = file.read(_HEAD), file.gzip
        _refuse_foreign(path, head, packed)
        ending = Path(path.name.removesuffix(".gz")).suffix.lower()
        if head[:4] == b"PAR1" and not packed:
            return cls("parquet")
        if ending in (".parquet", ".pq"):
            raise DataError(
                f"this is no readable Parquet file: it begins with {head[:16]!r}",
                file=str(path),
                remedy="write it again, or name it .csv, .tsv or .jsonl if it is text",
            )
        mark = next((encoding for start, encoding in _MARKS if head.startswith(start)), "")
        text = head.decode(mark or "utf-8", errors="ignore").lstrip()
        if text[:1] == "[" and text[1:].lstrip()[:1] == "{":
            raise DataError(
                "this is one JSON array; JSON lines have one object a line",
                file=str(path),
                remedy=f"write its objects line by line: jq -c '.[]' {path.name} > {path.stem}.jsonl",
            )
        lines = text[:1] == "{" or (ending in (".jsonl", ".ndjson") and bool(text))
        return cls("jsonl" if lines else "text", packed, mark)


class OpenFile:
    """File open for reading bytes, unpacked where it is gzipped; its errors name the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe can be read once, a file is twice
                raise DataError(
                    "this is a pipe or a device, not a file",
                    file=str(path),
                    remedy="write what it gives to a file first, and name that",
                )
            self._raw: IO[bytes] = path.open("rb")
            self.gzip = self._raw.read(2) == _GZIP
            self._raw.seek(0)
        except FileNotFoundError:
            raise DataError("there is no such file", file=str(path), remedy="check the path") from None
        except OSError as error:
            raise DataError(
                f"the file cannot be opened ({error.strerror})", file=str(path), remedy="name a readable file"
            ) from error
        self._file = gzip.GzipFile(fileobj=self._raw) if self.gzip else self._raw

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._raw.close()

    def read(self, size: int) -> bytes:
        """Returns up to ``size`` bytes, none at the end; raises `DataError` where the file is broken."""
        try:
            return self._file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"the file cannot be read ({error})", file=str(self._path), remedy="fetch or write it again"
            ) from error

    def position(self) -> int:
        """Returns how many bytes of the file on disk were read."""
        return self._raw.tell()


def _refuse_foreign(path: Path, head: bytes, packed: bool) -> None:
    """Raises `DataError` where the first bytes are those of another kind of file."""
    file = shorten(path.name)
    what, remedy = next(((what, how) for start, what, how in _FOREIGN if head.startswith(start)), ("", ""))
    if head.startswith(b"PK\x03\x04"):
        what, remedy = _archive(path)
    elif head[257:262] == b"ustar":
        what, remedy = "a tar archive", "unpack it: tar xf FILE"
    elif packed and head[:4] == b"PAR1":
        what, remedy = "Parquet inside gzip", "unpack it: gunzip --keep FILE"
    if what:
        raise DataError(
            f"this is {what}, which is not read; text, JSON lines and Parquet are",
            file=str(path),
            remedy=remedy.replace("FILE", file),
        )


def _archive(path: Path) -> tuple[str, str]:
    """Tells a spreadsheet from other archives of zip's kind."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        names = []
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook (.xlsx)", _SHEET
    if "content.xml" in names:
        return "an OpenDocument file (.ods)", _SHEET
    tables = ", ".join(name for name in names if not name.endswith("/"))
    return "a zip archive" + (f" of {shorten(tables)}" if tables else ""), "unpack it: unzip FILE"
