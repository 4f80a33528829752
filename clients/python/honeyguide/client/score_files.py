"""Keeps finished recommendations on disk, so that a killed run goes on where it stopped, and makes the output of them.

recs.parquet.parts/
  journal.json                 what the parts belong to, and the next row; replaced after each part
  part-000000.parquet          finished rows, written under another name, fsynced, renamed
  part-000000.failed.jsonl     its failed rows, where there are any
  users.parquet                who is scored, where that is all users of the server
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from honeyguide.answers import ModelVersion, Ranked, RowFailure, UserRow
from honeyguide.client.errors import ModelChangedError, ResumeError

__all__ = ["Journal", "Parts", "write_users"]

FORMAT_VERSION = 3

_WRITE_USERS = 10_000
"""User ids in memory at once while they are listed."""


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
    failures: Mapping[str, int] = field(default_factory=dict)
    """How many rows failed so far, by reason and field."""
    degraded: int = 0
    """Rows that were answered without a part of the pipeline so far."""
    format_version: int = FORMAT_VERSION

    @property
    def failed(self) -> int:
        """Rows that failed so far."""
        return sum(self.failures.values())


class Parts:
    """Numbered part files of answers, and the output that is made of them."""

    def __init__(self, output: Path, journal: Journal, *, part_rows: int, has_ids: bool) -> None:
        self.journal = journal
        self._output = output
        self._folder = _folder(output)
        self._part_rows = part_rows
        self._has_ids = has_ids
        self._schema = pa.schema(
            [
                ("row", pa.int64()),
                *([("user_id", pa.string())] if has_ids else []),
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
    def users_of(output: Path) -> Path | None:
        """Gives the file of users that an unfinished run towards this output wrote down; None where there is none."""
        path = _folder(output) / "users.parquet"
        return path if path.exists() and (_folder(output) / "journal.json").exists() else None

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
            if isinstance(answer, Ranked):
                name = (user.user_id,) if self._has_ids else ()
                self._rows.append((row, *name, answer.item_ids, answer.scores, answer.sources))
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
        merged, failures = self._folder / "merged.tmp", self._folder / "merged.jsonl.tmp"
        tables = (pq.read_table(self._part(number)) for number in range(self.journal.parts))
        kind = self._output.suffix.lower()
        if kind == ".csv":
            self._write_csv(merged, tables)
        elif kind in (".jsonl", ".ndjson"):
            _write_json_lines(merged, tables)
        else:
            with pq.ParquetWriter(merged, self._schema, compression="zstd") as writer:
                for table in tables:
                    writer.write_table(table)
        with failures.open("wb") as failed_lines:
            for number in range(self.journal.parts):
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
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, self._schema, strict=True)]
        temporary = self._folder / "part.tmp"
        pq.write_table(pa.Table.from_arrays(arrays, schema=self._schema), temporary)
        _publish(temporary, self._part(number))
        self._failed_part(number).unlink(missing_ok=True)
        if self._failures:
            lines = "".join(json.dumps(failure, ensure_ascii=False) + "\n" for failure in self._failures)
            _write(self._failed_part(number), lines)
        failures = Counter(self.journal.failures)
        failures.update(f"{failure['reason']} ({failure['field']})" for failure in self._failures)
        degraded = self.journal.degraded + self._degraded
        self.journal = replace(
            self.journal, next_row=self._next_row, parts=number + 1, failures=dict(failures), degraded=degraded
        )
        _write(self._folder / "journal.json", json.dumps(asdict(self.journal), indent=2) + "\n")
        self._rows, self._failures, self._degraded = [], [], 0

    def _write_csv(self, path: Path, tables: Iterable[pa.Table]) -> None:
        """Writes one line for each item, since CSV has no lists."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["row", *(["user_id"] if self._has_ids else []), "rank", "item_id", "score", "source"])
            for table in tables:
                for *names, items, scores, sources in zip(*table.to_pydict().values(), strict=True):
                    for rank, (item, score, source) in enumerate(zip(items, scores, sources, strict=True), 1):
                        writer.writerow([*names, rank, item, _short(score), source])

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.parquet"

    def _failed_part(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.failed.jsonl"


def write_users(output: Path, user_ids: Iterable[str]) -> Path:
    """Writes down who is scored by a run towards this output; gives the file, a Parquet file of users."""
    each = iter(user_ids)
    chunk = list(islice(each, _WRITE_USERS))  # a server that does not answer leaves no folder behind
    folder = _folder(output)
    folder.mkdir(exist_ok=True)
    temporary, path = folder / "users.tmp", folder / "users.parquet"
    schema = pa.schema([("user_id", pa.string())])
    with pq.ParquetWriter(temporary, schema) as writer:
        while chunk:
            writer.write_table(pa.table({"user_id": chunk}, schema=schema))
            chunk = list(islice(each, _WRITE_USERS))
    _publish(temporary, path)
    return path


def _write_json_lines(path: Path, tables: Iterable[pa.Table]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            for row in table.to_pylist():
                row["scores"] = [float(_short(score)) for score in row["scores"]]
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _short(score: float) -> str:
    """Writes a float of 32 bits with as many digits as it has."""
    return f"{score:.9g}"


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
