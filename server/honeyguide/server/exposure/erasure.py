"""Erases users from the exposure log: noted at once, carried out when every row of theirs is in a file."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import time_ns
from typing import BinaryIO, NamedTuple, cast

import polars as pl
from filelock import FileLock

from honeyguide.server.exposure.files import exposure_files, write_file
from honeyguide.server.ops.pseudonyms import Pseudonyms

__all__ = ["Erasures"]


class _Erasure(NamedTuple):
    user: str
    """Pseudonym."""
    time_ms: int


class Erasures:
    """Erasures of one folder, which several processes may share; they are noted by pseudonym."""

    def __init__(self, folder: Path, pseudonyms: Pseudonyms, settle_seconds: float) -> None:
        """Opens the note.

        Args:
            folder: of the exposure log.
            pseudonyms: under which users are in it.
            settle_seconds: after which what was shown before an erasure is in a file, whichever process showed it.
        """
        self._folder, self._pseudonyms, self._settle = folder, pseudonyms, settle_seconds
        self._note = folder / "erasures.jsonl"
        # Against other processes and threads: one for the note, and one for who erases, which may take minutes.
        self._lock, self._sweep = (FileLock(folder / name, mode=0o600) for name in ("note.lock", "sweep.lock"))
        with self._lock:
            self._note.touch(0o600)

    def note(self, user_id: str) -> None:
        """Notes that a user's rows up to now have to go; it is on disk when this returns. Raises `OSError`."""
        line = json.dumps(_Erasure(self._pseudonyms.of(user_id), time_ns() // 1_000_000))
        with self._lock, self._open("ab") as file:
            # The line before may be a part of one, where the disk was full: this one begins anew behind it.
            file.write(b"\n" + line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def carry_out(self) -> int:
        """Erases everybody whose rows are all in files; returns how many rows went.

        Raises `OSError` or `PolarsError`, once every file was tried, where one cannot be read or written: then the
        erasures stay noted.
        """
        with self._sweep:
            now = time_ns() // 1_000_000
            due = [erasure for erasure in self._noted() if now - erasure.time_ms >= self._settle * 1000]
            if not due:
                return 0
            erased, problem = 0, None
            for path in exposure_files(self._folder):
                try:
                    erased += self._erase(path, due)
                except (OSError, pl.exceptions.PolarsError) as error:
                    error.add_note(f"in {path.name}")
                    problem = error
            if problem is not None:
                raise problem
            with self._lock:
                later = [erasure for erasure in self._noted() if erasure not in due]
                with self._open("wb", self._note.with_suffix(".part")) as part:
                    part.write("".join(json.dumps(erasure) + "\n" for erasure in later).encode())
                    part.flush()
                    os.fsync(part.fileno())
                Path(part.name).replace(self._note)
            return erased

    def _open(self, mode: str, path: Path | None = None) -> BinaryIO:
        """Opens the note, or another file, which this user alone can read."""
        return cast("BinaryIO", open(path or self._note, mode, opener=partial(os.open, mode=0o600)))

    def _noted(self) -> list[_Erasure]:
        """Reads the note; a part of a line is what nobody was told is noted."""
        erasures = []
        for line in self._note.read_bytes().splitlines():
            with suppress(ValueError, TypeError):
                user, time_ms = json.loads(line)
                erasures.append(_Erasure(str(user), int(time_ms)))
        return erasures

    @staticmethod
    def _erase(path: Path, due: list[_Erasure]) -> int:
        """Writes a file anew without the rows of those who are due, if it has any."""
        erasures = pl.DataFrame(due, schema={"user": pl.String, "until": pl.Int64}, orient="row")
        newest = erasures.group_by("user").agg(pl.col("until").max())
        table = pl.read_parquet(path)
        marked = table.join(newest, on="user", how="left", maintain_order="left")
        goes = pl.col("until").is_not_null() & (pl.col("time").dt.timestamp("ms") <= pl.col("until"))
        kept = marked.filter(~goes).drop("until")
        if len(kept) < len(table):
            write_file(path, kept)
        return len(table) - len(kept)
