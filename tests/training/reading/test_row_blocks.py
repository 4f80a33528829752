from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading import decoding, row_blocks
from honeyguide.training.reading.dialect import TextFormat
from honeyguide.training.reading.row_blocks import RowBlocks
from honeyguide.training.reading.structure import Rows, rows_of


def read(path: Path, text: str, bad_rows: Any = None, **options: Any) -> list[tuple[int, str]]:
    path.write_text(text)
    blocks = RowBlocks(path, "utf-8", TextFormat(**options), options.get("separator", ","), "items-")
    return [
        (int(block.lines[at]), block.row(at))
        for block in blocks.read(["user", "title"], 2, bad_rows, lambda _: None)
        for at in range(len(block.rows))
        if block.keep[at]
    ]


@pytest.mark.parametrize("size", [1, 5, 1 << 19])
def test_rows_are_whole_and_know_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(decoding, "BLOCK", size)
    assert read(tmp_path / "log", 'a,b\n\n"c\n",d\ne') == [(1, "a,b"), (3, '"c⏎",d'), (5, "e")]


def test_a_remedy_names_the_option_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2, column 'title': .*\n.*--items-quote none"):
        read(tmp_path / "log", 'a,b\nc,5" d\n')
    with pytest.raises(DataError, match=r"row 2, column 'title': .*\n.*--items-escape '\\'"):
        read(tmp_path / "log", 'a,b\nc,"5\\" d"\n')


def test_after_a_broken_row_little_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at, told = [], []

    def counted(data: NDArray[np.uint8], *words: Any, **options: Any) -> Rows:
        looked_at.append(len(data))
        return rows_of(data, *words, **options)

    monkeypatch.setattr(row_blocks, "rows_of", counted)
    monkeypatch.setattr(row_blocks, "SMALL", 64)
    text = 'u,5" pipe\nv,x\n' * 500
    rows = read(tmp_path / "log", text, lambda *words: told.append(words))
    assert (len(rows), len(told)) == (500, 500)
    assert sum(looked_at) < 20 * len(text)
