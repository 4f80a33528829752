"""Erased users leave the files of the exposure log, and nobody else does: `erasure.py`, `files.py`."""

from __future__ import annotations

import os
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from honeyguide.server.exposure.erasure import Erasures
from honeyguide.server.exposure.files import delete_older, exposure_files, write_file
from honeyguide.server.exposure.table import SCHEMA
from honeyguide.server.ops.pseudonyms import Pseudonyms

PSEUDONYMS = Pseudonyms(b"k" * 32)
BEFORE = datetime.now(UTC) - timedelta(days=1)
AFTER = datetime.now(UTC) + timedelta(days=1)


def table(*rows: tuple[str, str, datetime]) -> pl.DataFrame:
    ids, users, times = zip(*rows, strict=True)
    columns = {"request_id": ids, "user": [PSEUDONYMS.of(user) if user else None for user in users], "time": times}
    return pl.DataFrame(columns).select(
        (pl.col(name) if name in columns else pl.lit(None)).cast(kind).alias(name) for name, kind in SCHEMA.items()
    )


def kept(folder: Path) -> list[str]:
    return [row for path in exposure_files(folder) for row in pl.read_parquet(path)["request_id"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_file(tmp_path / "exposures-1.parquet", table(("1", "ann", BEFORE), ("2", "bob", BEFORE), ("3", "", BEFORE)))
    write_file(tmp_path / "exposures-2.parquet", table(("4", "bob", BEFORE), ("5", "ann", AFTER)))
    return tmp_path


def test_rows_up_to_the_erasure_go_and_no_other(folder: Path) -> None:
    untouched = (folder / "exposures-2.parquet").stat().st_mtime_ns
    erasures = Erasures(folder, PSEUDONYMS, settle_seconds=0)
    erasures.note("ann")
    assert kept(folder) == list("12345"), "noted is not yet carried out"
    assert erasures.carry_out() == 1
    assert kept(folder) == list("2345"), "5 was shown to a user who came back"
    assert (folder / "exposures-2.parquet").stat().st_mtime_ns == untouched
    assert erasures.carry_out() == 0
    assert pl.read_parquet(folder / "exposures-1.parquet").schema == SCHEMA


def test_an_erasure_is_due_within_the_millisecond_that_noted_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Rounded up, the note would lie in the future of a disk that is fast enough.
    now = time.time_ns() // 1_000_000 * 1_000_000 + 700_000
    monkeypatch.setattr("honeyguide.server.exposure.erasure.time_ns", lambda: now)
    erasures = Erasures(folder, PSEUDONYMS, settle_seconds=0)
    erasures.note("ann")
    assert erasures.carry_out() == 1


def test_what_may_not_be_in_a_file_yet_waits_and_survives_a_restart(folder: Path) -> None:
    Erasures(folder, PSEUDONYMS, settle_seconds=60).note("ann")
    assert Erasures(folder, PSEUDONYMS, settle_seconds=60).carry_out() == 0
    assert Erasures(folder, PSEUDONYMS, settle_seconds=0).carry_out() == 1
    assert PSEUDONYMS.of("ann") not in (folder / "erasures.jsonl").read_text("ascii")


def test_files_are_their_owner_s_and_none_stays_half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stat.S_IMODE((folder / "exposures-1.parquet").stat().st_mode) == 0o600

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(folder / "exposures-3.parquet", table(("9", "", BEFORE)))
    assert not [path for path in folder.iterdir() if path.suffix == ".part"]
    assert kept(folder) == list("12345")


def test_old_files_are_deleted(folder: Path) -> None:
    day_ago = time.time() - 86_500
    os.utime(folder / "exposures-1.parquet", (day_ago, day_ago))
    delete_older(folder, 1.0)
    assert kept(folder) == list("45")


def test_half_a_note_of_a_full_disk_keeps_nobody_else_s_rows(folder: Path) -> None:
    erasures = Erasures(folder, PSEUDONYMS, settle_seconds=0)
    erasures.note("bob")
    with (folder / "erasures.jsonl").open("ab") as note:
        note.write(b'["0123')
    erasures.note("ann")
    assert erasures.carry_out() == 3
    assert kept(folder) == list("35")
    later = Erasures(folder, PSEUDONYMS, settle_seconds=60)
    later.note("ann")
    later.carry_out()
    assert stat.S_IMODE((folder / "erasures.jsonl").stat().st_mode) == 0o600, "also once it was written anew"


def test_a_file_that_cannot_be_read_is_named_and_keeps_no_other_s_rows(folder: Path) -> None:
    (folder / "exposures-0.parquet").write_bytes(b"PAR1")
    erasures = Erasures(folder, PSEUDONYMS, settle_seconds=0)
    erasures.note("ann")
    with pytest.raises(pl.exceptions.PolarsError) as raised:
        erasures.carry_out()
    assert raised.value.__notes__ == ["in exposures-0.parquet"]
    (folder / "exposures-0.parquet").unlink()
    assert kept(folder) == list("2345")
    assert PSEUDONYMS.of("ann") in (folder / "erasures.jsonl").read_text("ascii"), "it is tried again"
    assert erasures.carry_out() == 0
    assert PSEUDONYMS.of("ann") not in (folder / "erasures.jsonl").read_text("ascii")
