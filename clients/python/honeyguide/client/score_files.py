"""Reads users from Parquet, and keeps finished recommendations so that a killed run goes on where it stopped.

recs.parquet.parts/
  journal.json                 what the parts belong to, and the next row; replaced after each part
  part-000000.parquet          finished rows, written under another name, fsynced, renamed
  part-000000.failed.jsonl     its failed rows, where there are any
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from honeyguide.answers import History, ModelVersion, Ranked, RowFailure, UserRow
from honeyguide.client.errors import InputError, ModelChangedError, ResumeError

__all__ = ["Journal", "Parts", "UserFile"]

FORMAT_VERSION = 2

READ_ROWS = 256
"""Users in memory at once while reading; a history may have 4,096 events."""


class UserFile:
    """Parquet file of users.

    Columns: `user_id` (text), or `history` (lists of item ids), or both; optionally `history_time_ms` (lists of whole
    numbers) beside `history`. Other columns are ignored.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file and checks its columns; raises InputError with column and remedy."""
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file", remedy="give a Parquet file with a column user_id or history")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty", remedy="write it again; it should be Parquet")
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: this is not a whole Parquet file", remedy="write it again as Parquet") from error
        self.rows = int(self._file.metadata.num_rows)
        schema = self._file.schema_arrow
        self._columns = [name for name in ("user_id", "history", "history_time_ms") if name in schema.names]
        if not {"user_id", "history"} & set(self._columns):
            raise InputError(
                f"{path}: neither column 'user_id' nor 'history' is there; it has {', '.join(schema.names) or 'none'}",
                remedy="rename the column of users to user_id",
            )
        for name in self._columns:
            _check_type(path, name, schema.field(name).type)
        self.has_ids = "user_id" in self._columns

    def fingerprint(self) -> str:
        """Gives the SHA-256 of the file's bytes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def users(self, start: int = 0) -> Iterator[UserRow]:
        """Yields the users from row `start` on; row groups before it are not read."""
        skip, groups = start, list(range(self._file.num_row_groups))
        while groups and skip >= (size := self._file.metadata.row_group(groups[0]).num_rows):
            skip -= size
            groups.pop(0)
        if not groups:
            return
        for batch in self._file.iter_batches(READ_ROWS, row_groups=groups, columns=self._columns):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            yield from self._rows(batch.slice(skip))
            skip = 0

    def _rows(self, batch: pa.RecordBatch) -> Iterator[UserRow]:
        nothing: list[None] = [None] * batch.num_rows
        names = batch["user_id"].cast(pa.string()).to_pylist() if self.has_ids else nothing
        histories = _lists(batch["history"], pa.string(), "") if "history" in self._columns else nothing
        times = _lists(batch["history_time_ms"], pa.int64(), 0) if "history_time_ms" in self._columns else nothing
        for name, items, moments in zip(names, histories, times, strict=True):
            if items is None:
                # A row without anybody is sent as the user "", which the server refuses by name.
                yield UserRow(name or "")
            else:
                yield UserRow(name, History(items, moments or ()))


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    """Raises InputError unless the column is of its type."""
    value = kind.value_type if pa.types.is_dictionary(kind) or _is_list(kind) else kind
    text = pa.types.is_string(value) or pa.types.is_large_string(value)
    right, allowed = {
        "user_id": (text and not _is_list(kind), "text"),
        "history": (text and _is_list(kind), "lists of text, the item ids"),
        "history_time_ms": (pa.types.is_integer(value) and _is_list(kind), "lists of whole numbers, milliseconds"),
    }[name]
    if not right:
        raise InputError(
            f"{path}: column '{name}' is {kind}; allowed: {allowed}", field=name, remedy="cast the column and try again"
        )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _lists(column: pa.Array, kind: pa.DataType, missing: object) -> list[list[Any] | None]:
    """Gives a column of lists as Python lists: one conversion for all values is several times faster than one a row."""
    offsets = column.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    values = pc.fill_null(column.values.slice(first, last - first).cast(kind), missing).to_pylist()
    bounds = zip(offsets, offsets[1:], column.is_valid().to_pylist(), strict=False)
    return [values[start - first : stop - first] if valid else None for start, stop, valid in bounds]


@dataclass(frozen=True)
class Journal:
    """Record of what the finished parts belong to, and where to go on."""

    input: str
    """SHA-256 of the input file."""
    options: Mapping[str, Any]
    """What shapes the answers: k, pipeline, …."""
    request_time_ms: int
    """The moment every answer is for: fixed by the first run, so that a resumed one gives the same answers."""
    models: tuple[ModelVersion, ...] = ()
    """The bundles that answer; () until the first answer."""
    next_row: int = 0
    parts: int = 0
    failed: int = 0
    """Rows that failed so far."""
    degraded: int = 0
    """Rows that were answered without a part of the pipeline so far."""
    format_version: int = FORMAT_VERSION


class Parts:
    """Numbered part files of answers, and the output that is made of them."""

    def __init__(self, output: Path, journal: Journal, *, part_rows: int, has_ids: bool) -> None:
        self.journal = journal
        self._output = output
        self._folder = _folder(output)
        self._part_rows = part_rows
        name = pa.field("user_id", pa.string()) if has_ids else pa.field("row", pa.int64())
        self._schema = pa.schema(
            [
                name,
                ("item_ids", pa.list_(pa.string())),
                ("scores", pa.list_(pa.float32())),
                ("sources", pa.list_(pa.string())),
            ]
        )
        self._rows: list[tuple[object, ...]] = []
        self._failures: list[dict[str, object]] = []
        self._degraded = 0
        self._next_row = journal.next_row

    @staticmethod
    def unfinished(output: Path) -> Journal | None:
        """Reads the journal of an unfinished run towards this output; None when there is none."""
        path = _folder(output) / "journal.json"
        if not path.exists():
            return None
        try:
            read = json.loads(path.read_bytes())
            models = tuple(ModelVersion(**model) for model in read.pop("models"))
            journal = Journal(**read, models=models)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ResumeError(f"{path} cannot be read", remedy="begin anew with --restart") from error
        if journal.format_version != FORMAT_VERSION:
            raise ResumeError(
                f"{path} has format {journal.format_version}; this version of honeyguide reads {FORMAT_VERSION}",
                remedy="go on with the version that began it, or begin anew with --restart",
            )
        return journal

    @staticmethod
    def discard(output: Path) -> None:
        """Deletes what an unfinished run left."""
        shutil.rmtree(_folder(output), ignore_errors=True)

    def pin(self, models: tuple[ModelVersion, ...]) -> None:
        """Holds the whole output to the bundles of the first answer; an answer without any (all failed) says nothing.

        Raises:
            ModelChangedError: other bundles answer now.
        """
        if not self.journal.models:
            self.journal = replace(self.journal, models=models)
        elif models and models != self.journal.models:
            raise ModelChangedError(f"the server now answers with {', '.join(map(str, models))}")

    def add(self, users: Sequence[UserRow], answers: Sequence[Ranked | RowFailure]) -> None:
        """Takes the answers to the next rows, and writes a part when it is full."""
        for row, (user, answer) in enumerate(zip(users, answers, strict=True), self._next_row):
            name: object = user.user_id if self._schema.names[0] == "user_id" else row
            if isinstance(answer, Ranked):
                self._rows.append((name, answer.item_ids, answer.scores, answer.sources))
                self._degraded += answer.degraded
            else:
                self._failures.append({"row": row, "user_id": user.user_id, **asdict(answer)})
        self._next_row += len(users)
        if self._next_row - self.journal.next_row >= self._part_rows:
            self._write_part()

    def publish(self) -> Path | None:
        """Merges the parts into the output, part by part, and names it by rename; gives the file of failed rows."""
        if self._next_row > self.journal.next_row:
            self._write_part()
        self._folder.mkdir(exist_ok=True)
        merged, failures = self._folder / "merged.parquet.tmp", self._folder / "merged.jsonl.tmp"
        with (
            pq.ParquetWriter(merged, self._schema, compression="zstd") as writer,
            failures.open("wb") as failed_lines,
        ):
            for number in range(self.journal.parts):
                writer.write_table(pq.read_table(self._part(number)))
                if self._failed_part(number).exists():
                    failed_lines.write(self._failed_part(number).read_bytes())
        failed = self._output.with_suffix(".failed.jsonl")
        if self.journal.failed:
            _publish(failures, failed)
        else:
            failed.unlink(missing_ok=True)  # of an earlier run with this name
        _publish(merged, self._output)
        self.discard(self._output)
        return failed if self.journal.failed else None

    def _write_part(self) -> None:
        """Puts the collected rows on disk, then says so in the journal: a kill in between only repeats the part."""
        self._folder.mkdir(exist_ok=True)
        number = self.journal.parts
        columns = list(zip(*self._rows, strict=True)) or [()] * 4
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, self._schema, strict=True)]
        temporary = self._folder / "part.tmp"
        pq.write_table(pa.Table.from_arrays(arrays, schema=self._schema), temporary)
        _publish(temporary, self._part(number))
        self._failed_part(number).unlink(missing_ok=True)
        if self._failures:
            lines = "".join(json.dumps(failure, ensure_ascii=False) + "\n" for failure in self._failures)
            _write(self._failed_part(number), lines)
        failed = self.journal.failed + len(self._failures)
        degraded = self.journal.degraded + self._degraded
        self.journal = replace(
            self.journal, next_row=self._next_row, parts=number + 1, failed=failed, degraded=degraded
        )
        _write(self._folder / "journal.json", json.dumps(asdict(self.journal), indent=2) + "\n")
        self._rows, self._failures, self._degraded = [], [], 0

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.parquet"

    def _failed_part(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.failed.jsonl"


def _folder(output: Path) -> Path:
    return output.with_name(output.name + ".parts")


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    _publish(temporary, path)


def _publish(temporary: Path, path: Path) -> None:
    """Renames a written file so that a kill or a power cut leaves either the old file or the whole new one."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
