import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import polars as pl
import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.file_kind import FileKind, OpenFile

TEXT = b"user,item\nu,a\n"


def write(folder: Path, data: bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def packed(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("log.csv"))
    return file.getvalue()


def parquet() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"user": ["u"]}).write_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (TEXT, FileKind("text")),
        (b"", FileKind("text")),
        (gzip.compress(TEXT), FileKind("text", gzip=True)),
        ("\ufeffuser".encode(), FileKind("text", mark="utf-8-sig")),
        ("user".encode("utf-16"), FileKind("text", mark="utf-16")),
        ("user".encode("utf-32"), FileKind("text", mark="utf-32")),
        (b'\n {"user": 1}\n', FileKind("jsonl")),
        (gzip.compress(b'{"user": 1}\n'), FileKind("jsonl", gzip=True)),
        ('{"user": 1}'.encode("utf-16"), FileKind("jsonl", mark="utf-16")),
        (parquet(), FileKind("parquet")),
    ],
)
def test_the_first_bytes_say_what_a_file_is_whatever_its_name(tmp_path: Path, data: bytes, kind: FileKind) -> None:
    assert FileKind.of(write(tmp_path, data)) == kind
    assert FileKind.of(write(tmp_path, data, "log.csv.gz")) == kind
    assert FileKind.of(write(tmp_path, data, "log")) == kind


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (packed("[Content_Types].xml", "xl/workbook.xml"), ["Excel workbook", "save the sheet as CSV"]),
        (packed("mimetype", "content.xml"), ["OpenDocument", "save the sheet as CSV"]),
        (packed("a.csv", "b.csv"), ["zip archive of a.csv, b.csv", "unzip log.csv"]),
        (b"PK\x03\x04torn", ["zip archive", "unzip"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", [".xls", "CSV"]),
        (bz2.compress(TEXT), ["bzip2", "bunzip2 --keep log.csv"]),
        (lzma.compress(TEXT), ["xz", "unxz --keep log.csv"]),
        (tarred(), ["tar archive", "tar xf log.csv"]),
        (gzip.compress(tarred()), ["tar archive", "tar xf log.csv"]),
        (gzip.compress(parquet()), ["Parquet inside gzip", "gunzip"]),
        (b"SQLite format 3\x00", ["SQLite", "sqlite3 -header -csv log.csv"]),
        (b"ARROW1\0\0", ["Feather", "Parquet"]),
        (b'[\n {"user": 1}]', ["JSON array", "jq -c '.[]' log.csv > log.jsonl"]),
    ],
)
def test_what_is_not_read_is_named_with_a_remedy(tmp_path: Path, data: bytes, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        FileKind.of(write(tmp_path, data))
    assert [word for word in ["log.csv", "remedy: ", *words] if word not in str(caught.value)] == []
    assert str(caught.value).count("\n") == 1


def test_text_under_the_name_of_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no readable Parquet file: it begins with b'user,item.*\n.*\.csv"):
        FileKind.of(write(tmp_path, TEXT, "log.parquet"))


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        FileKind.of(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="cannot be opened"):
        OpenFile(tmp_path)


def test_a_pipe_is_named_before_anything_is_taken_from_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="this is a pipe or a device"):
        FileKind.of(tmp_path / "pipe")


def test_a_torn_gzip_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(TEXT + bytes(range(256)) * 99)
    with OpenFile(write(tmp_path, whole[:-12])) as file, pytest.raises(DataError, match="cannot be read"):
        list(iter(lambda: file.read(1 << 16), b""))
