from pathlib import Path

import polars as pl
import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.preparation.parquet_file import is_parquet, parquet_columns, read_parquet


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "log.parquet"
    frame = pl.DataFrame({"user": ["u", "v"], "kind": ["buy", "view"], "tags": [["a"], []]})
    frame.with_columns(pl.col("kind").cast(pl.Categorical)).write_parquet(file)
    return file


def test_the_ending_says_what_is_parquet() -> None:
    assert [is_parquet(Path(name)) for name in ("a.parquet", "a.PQ", "a.csv")] == [True, True, False]


def test_categories_come_as_text_and_lists_where_they_are_allowed(path: Path) -> None:
    assert parquet_columns(path) == ["user", "kind", "tags"]
    frame = read_parquet(path, ["kind", "tags"], lists=["tags"])
    assert frame.rows() == [("buy", ["a"]), ("view", [])]
    assert frame.schema["kind"] == pl.String
    with pytest.raises(DataError, match=r"column 'tags': its values are of type List"):
        read_parquet(path, ["tags"])


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        parquet_columns(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("user,item\nu,a\n")
    with pytest.raises(DataError, match="this is no readable Parquet file"):
        parquet_columns(tmp_path / "text.parquet")
