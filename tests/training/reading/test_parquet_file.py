from pathlib import Path

import polars as pl
import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.parquet_file import ParquetFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "log [a-z]*.parquet"  # no pattern
    frame = pl.DataFrame({"user": ["u", "v"], "kind": ["buy", "view"], "tags": [["a"], []], "none": [None, None]})
    frame.with_columns(pl.col("kind").cast(pl.Categorical)).write_parquet(file)
    return file


def test_categories_come_as_text_and_lists_where_they_are_allowed(path: Path) -> None:
    file = ParquetFile(path)
    assert file.columns == ["user", "kind", "tags", "none"]
    ((rows, frame),) = file.frames(["kind", "tags", "none"], lambda _: None, lists=["tags"])
    assert rows.tolist() == [1, 2]
    assert frame.rows() == [("buy", ["a"], None), ("view", [], None)]
    assert (frame.schema["kind"], frame.schema["none"]) == (pl.String, pl.String)
    with pytest.raises(DataError, match=r"column 'tags': its values are of type List"):
        list(file.frames(["tags"], lambda _: None))


def test_a_torn_file_is_named(tmp_path: Path, path: Path) -> None:
    (tmp_path / "torn.parquet").write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="this is no readable Parquet file"):
        ParquetFile(tmp_path / "torn.parquet")
