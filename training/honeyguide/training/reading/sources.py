"""One table out of a file, several, a folder or a glob: text, JSON lines or Parquet, told apart by their content."""

from __future__ import annotations

import glob
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.columns import shorten
from honeyguide.training.reading.dialect import TextFormat, separator_name
from honeyguide.training.reading.file_kind import FileKind
from honeyguide.training.reading.json_lines import JsonLines
from honeyguide.training.reading.parquet_file import ParquetFile
from honeyguide.training.reading.row_blocks import BadRows
from honeyguide.training.reading.sequences import SequenceFile
from honeyguide.training.reading.text_file import TextFile

__all__ = ["Source"]

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_Table = TextFile | SequenceFile | JsonLines | ParquetFile


class Source:
    """One table in one file, several files, a (hive-partitioned) folder or a glob, read block by block.

    Attributes:
        name: the places, as they were given.
        files: in the order in which they are read: places as given, the files of each sorted by name.
        columns: as in the header, stripped; doubled names stay doubled. Keys of hive folders come last.
        facts: what was found out, ready for JSON: kind, files, and separator, encoding and gzip where they apply.
        warnings: what a reader of the table should know; grows while it is read.
    """

    def __init__(self, places: Sequence[str | Path], text: TextFormat | None = None, *, flags: str = "") -> None:
        """Finds the files and reads their headers.

        Args:
            places: files, folders and globs.
            text: how texts are written.
            flags: begins the names of options in remedies, such as "items-".

        Raises:
            DataError: where there is no such file, one is of a kind that is not read, or kinds are mixed.
        """
        text = text or TextFormat()
        self.warnings: list[str] = []
        self.name = ", ".join(map(str, places[:3])) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
        found = [file for place in places for file in _files(Path(place))]
        self.files = [file for file, _ in found]
        self._keys = [keys for _, keys in found]
        kinds = [FileKind.of(file) for file in self.files]
        for file, kind in zip(self.files, kinds, strict=True):
            if kind.kind != kinds[0].kind:
                raise DataError(
                    f"this is {kind.kind}, and {self.files[0].name} is {kinds[0].kind}",
                    file=str(file),
                    remedy="read files of one kind at a time: name them, or a pattern such as 'folder/*.csv'",
                )
        self._tables = [self._table(*each, text, flags) for each in zip(self.files, kinds, strict=True)]
        self.columns = list(self._tables[0].columns)
        for table, keys in zip(self._tables, self._keys, strict=True):
            self.columns += [name for name in (*table.columns, *keys) if name not in self.columns]
        self._starts = [0]
        self.facts: dict[str, object] = {"kind": kinds[0].kind, "files": len(self.files)}
        first = self._tables[0]
        if first.separator:
            self.facts |= {"separator": separator_name(first.separator), "separator_detected": first.detected}
        if first.encoding:
            self.facts |= {"encoding": first.encoding.removesuffix("-sig")}
        if any(kind.gzip for kind in kinds):
            self.facts["gzip"] = True

    def frames(
        self,
        selection: Sequence[str],
        *,
        bad_rows: BadRows | None = None,
        lists: Sequence[str] = (),
        progress: Callable[[float], None] | None = None,
    ) -> Iterator[tuple[NDArray[np.uint32], pl.DataFrame]]:
        """Yields each block's places and selected columns.

        Columns of texts and JSON lines are text, null where a field is empty; those of Parquet have their own types.

        Args:
            selection: names out of ``columns``.
            bad_rows: is told of rows that cannot be read and are left out: the reason, how many, one of them. None
                refuses the first.
            lists: columns that may be lists, in Parquet and JSON lines.
            progress: is told the share that is read, from 0 to 1.

        Raises:
            DataError: with file, line, column and remedy.
        """
        for file, table, keys in zip(self.files, self._tables, self._keys, strict=True):
            for name in selection:
                if name not in table.columns and name not in keys:
                    raise DataError(
                        f"the file lacks this column, which {self._owner(name)} has",
                        file=str(file),
                        column=name,
                        remedy="name files that have the same columns",
                    )
        sizes = [max(file.stat().st_size, 1) for file in self.files]
        self._starts = [0]
        for number, (table, keys) in enumerate(zip(self._tables, self._keys, strict=True)):
            before = sum(sizes[:number])
            start = self._starts[number]
            last = start

            def tell(done: int, before: int = before) -> None:
                if progress:
                    progress(min(1.0, (before + done) / sum(sizes)))

            def leave_out(reason: str, count: int, example: str, file: Path = table.path) -> None:
                assert bad_rows is not None
                bad_rows(reason, count, f"{self.label(file)} {example}".lstrip())

            own = [name for name in selection if name in table.columns] or list(table.columns[:1])
            for lines, frame in self._blocks(table, own, leave_out if bad_rows else None, lists, tell):
                added = [pl.lit(keys[name], pl.String).alias(name) for name in selection if name not in own]
                block = frame.with_columns(added).select(selection) if added else frame
                if len(lines):
                    last = start + int(lines[-1])
                yield (lines + start).astype(np.uint32), block
            self._starts.append(last + 1)

    def where(self, place: int) -> tuple[Path, int]:
        """Returns the file of a place and the line in which its row begins, from 1; in Parquet the row, from 1."""
        number = min(bisect_right(self._starts, place) - 1, len(self.files) - 1)
        return self.files[number], place - self._starts[number]

    def label(self, file: Path) -> str:
        """Returns what tells one of several files from the others, "" of one."""
        if len(self.files) == 1:
            return ""
        common = Path(os.path.commonpath([each.parent for each in self.files]))
        return str(file.relative_to(common))

    def _table(self, file: Path, kind: FileKind, text: TextFormat, flags: str) -> _Table:
        if kind.kind == "parquet":
            return ParquetFile(file)
        if kind.kind == "jsonl":
            return JsonLines(file, kind, text, flags, self.warnings)
        return (SequenceFile if text.sequences else TextFile)(file, kind, text, flags, self.warnings)

    def _blocks(
        self,
        table: _Table,
        selection: Sequence[str],
        bad_rows: BadRows | None,
        lists: Sequence[str],
        progress: Callable[[int], None],
    ) -> Iterator[tuple[NDArray[np.int64], pl.DataFrame]]:
        if isinstance(table, ParquetFile):
            return table.frames(selection, progress, lists)
        if isinstance(table, JsonLines):
            return table.frames(selection, bad_rows, progress, lists)
        return table.frames(selection, bad_rows, progress)

    def _owner(self, name: str) -> str:
        tables = zip(self.files, self._tables, self._keys, strict=True)
        return next(file.name for file, table, keys in tables if name in table.columns or name in keys)


def _files(place: Path) -> list[tuple[Path, dict[str, str | None]]]:
    """Returns the files of a place, sorted, each with the keys of its hive folders."""
    if place.is_dir():
        files = [path for path in sorted(place.rglob("*")) if _visible(path.relative_to(place)) and path.is_file()]
        if not files:
            raise DataError("the folder has no files to read", file=str(place), remedy="name a folder that has some")
        return [(path, _hive_keys(path.relative_to(place))) for path in files]
    if not place.exists() and glob.has_magic(str(place)):
        root = Path(*takewhile(lambda part: not glob.has_magic(part), place.parts))
        paths = [Path(path) for path in sorted(glob.glob(str(place), recursive=True))]  # noqa: PTH207  # takes any path
        files = [path for path in paths if path.is_file() and _visible(path.relative_to(root))]
        if not files:
            raise DataError("no file matches", file=shorten(str(place), 200), remedy="check the pattern")
        return [(path, _hive_keys(path.relative_to(root))) for path in files]
    if not place.exists():
        raise DataError("there is no such file", file=str(place), remedy="check the path")
    return [(place, {})]


def _visible(path: Path) -> bool:
    """Says whether neither file nor folder is hidden, or a mark such as Spark's _SUCCESS."""
    return not any(part.startswith((".", "_")) and "=" not in part for part in path.parts)


def _hive_keys(path: Path) -> dict[str, str | None]:
    pairs = [part.partition("=") for part in path.parts[:-1]]
    return {name: None if value == _NO_VALUE else unquote(value) for name, equals, value in pairs if equals}
