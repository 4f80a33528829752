from pathlib import Path

import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading import decoding
from honeyguide.training.reading.dialect import TextFormat
from honeyguide.training.reading.file_kind import FileKind
from honeyguide.training.reading.sequences import SequenceFile


def read(path: Path, separator: str = "") -> tuple[list[tuple[str, ...]], list[int], list[str]]:
    warnings: list[str] = []
    file = SequenceFile(path, FileKind.of(path), TextFormat(separator, sequences=True), "", warnings)
    rows, lines = [], []
    for numbers, frame in file.frames(["user", "item"], None, lambda _: None):
        rows += frame.rows()
        lines += numbers.tolist()
    return rows, lines, warnings


def write(folder: Path, text: str) -> Path:
    (folder / "s3rec.txt").write_bytes(text.encode())
    return folder / "s3rec.txt"


@pytest.mark.parametrize("block", [5, 1 << 19])
@pytest.mark.parametrize("separator", [" ", "\t", ","])
def test_a_line_has_a_user_and_the_items_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separator: str, block: int
) -> None:
    monkeypatch.setattr(decoding, "BLOCK", block)
    text = "u1 i1 i2 i3\r\n\r\nu2  i2 i3 \r\nü i1".replace(" ", separator)
    rows, lines, warnings = read(write(tmp_path, text))
    assert rows == [("u1", "i1"), ("u1", "i2"), ("u1", "i3"), ("u2", "i2"), ("u2", "i3"), ("ü", "i1")]
    assert lines == [1, 1, 1, 3, 3, 4]
    assert warnings == []


def test_a_user_without_items_is_warned_of(tmp_path: Path) -> None:
    rows, _, warnings = read(write(tmp_path, "u1 i1\nu2\nu3\nu4 i2\n"))
    assert rows == [("u1", "i1"), ("u4", "i2")]
    assert warnings == ["2 lines have a user and no item (first: s3rec.txt row 2); they are left out"]


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the file is empty"):
        read(write(tmp_path, "\n"))
