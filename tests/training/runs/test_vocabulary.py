from pathlib import Path

import polars as pl
import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.runs.vocabulary import VOCABULARY, read_vocabulary, save_vocabulary


def test_ids_come_back_in_their_order(tmp_path: Path) -> None:
    folder = tmp_path / "run [a-z]*"  # no pattern
    folder.mkdir()
    save_vocabulary(folder, pl.Series(["b", "a", "ü"]))
    assert read_vocabulary(folder, 3).to_list() == ["b", "a", "ü"]


def test_a_run_without_is_told_what_helps(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.parquet: there is no such file.*\n.*train it again"):
        read_vocabulary(tmp_path, 3)


@pytest.mark.parametrize("ids", [["a"], ["a", "a"], ["a", None], [1, 2]])
def test_ids_that_are_not_the_run_s_are_refused(tmp_path: Path, ids: list[object]) -> None:
    pl.DataFrame({"item_id": ids}).write_parquet(tmp_path / VOCABULARY)
    with pytest.raises(DataError, match="does not hold 2 item ids"):
        read_vocabulary(tmp_path, 2)


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    (tmp_path / VOCABULARY).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"items\.parquet: cannot be read"):
        read_vocabulary(tmp_path, 2)
