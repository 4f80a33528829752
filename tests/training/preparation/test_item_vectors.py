"""Vectors that users bring: lists of Parquet and JSON lines, .npy files, and each way in which they can be wrong."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from honeyguide.sdk import ItemColumn
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training import prepare
from honeyguide.training.dataset import Dataset
from honeyguide.training.preparation.item_vectors import vectors_of_lists

LISTS: list[Any] = [[1.5, 2], [3, -4.25], None]


def log(folder: Path) -> Path:
    path = folder / "events.csv"
    path.write_text("user_id,item_id\n" + "".join(f"u{u},{i}\n" for u in range(3) for i in "dcba"))
    return path


def jsonl(folder: Path, lists: list[Any] = LISTS) -> Path:
    path = folder / "items.jsonl"
    path.write_text("".join(json.dumps({"item_id": i, "image": v}) + "\n" for i, v in zip("abc", lists, strict=True)))
    return path


def parquet(folder: Path, dtype: Any = None) -> Path:
    path = folder / "items.parquet"
    pl.DataFrame({"item_id": list("abc"), "image": pl.Series(LISTS, dtype=dtype or pl.List(pl.Float64))}).write_parquet(
        path
    )
    return path


def npy(folder: Path, array: Any = None, name: str = "image.npy") -> str:
    np.save(folder / name, np.array([[1.5, 2], [3, -4.25], [np.nan] * 2]) if array is None else array)
    return f"image={folder / name}"


def check(data: Dataset, folder: Path) -> None:
    again = Dataset.open(folder)
    assert data.spec.item_columns == again.spec.item_columns == (ItemColumn("image", "vector", width=2),)
    vectors = again.item_table().vector("image")
    rows = dict(zip(again.items["item_id"], vectors.tolist(), strict=True))
    assert (rows["a"], rows["b"]) == ([1.5, 2], [3, -4.25])
    assert np.isnan(rows["c"] + rows["d"]).all()  # one has none in the file, the other no row
    assert (vectors.dtype, vectors.flags.writeable) == (np.float32, True)
    assert data.report["item_columns"] == {"image": {"kind": "vector", "missing": 2}}


@pytest.mark.parametrize("write", [jsonl, parquet, lambda folder: parquet(folder, pl.Array(pl.Float32, 2))])
def test_a_column_of_lists_becomes_vectors(tmp_path: Path, write: Any) -> None:
    items = write(tmp_path)
    check(prepare(log(tmp_path), out=tmp_path / "d", items=str(items), item_vectors="image"), tmp_path / "d")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_file_of_numpy_has_a_row_for_each_row_of_the_items(tmp_path: Path, dtype: Any) -> None:
    items = tmp_path / "items.csv"
    items.write_text("item_id\na\nb\nc\n")
    option = npy(tmp_path, np.array([[1.5, 2], [3, -4.25], [np.nan] * 2], dtype))
    check(prepare(log(tmp_path), out=tmp_path / "d", items=str(items), item_vectors=[option]), tmp_path / "d")


def test_vectors_count_in_the_fingerprint(tmp_path: Path) -> None:
    prints = set()
    for place, lists in enumerate([LISTS, [[1.5, 2], [3, 9], None]]):
        items = jsonl(tmp_path, lists)
        data = prepare(log(tmp_path), out=tmp_path / str(place), items=str(items), item_vectors="image")
        prints.add(data.spec.fingerprint)
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("lists", "row", "problem"),
    [
        ([[1, 2], [3], None], 2, "the vector has 1 numbers, and that of the first item that has one has 2"),
        ([[], [3, 4], [1, "x"]], 3, "holds something that is no finite number"),
        ([[1, 2], [3, "NaN"], None], 2, "holds something that is no finite number"),
        ([[1, 2], [3, 1e300], None], 2, "holds something that is no finite number"),
        ([[1, 2], [3, None], None], 2, "holds something that is no finite number"),
        ([None, [0.5] * 4097, None], 2, r"a vector has 4,097 numbers; allowed: at most 4,096"),
    ],
)
def test_a_list_that_is_no_vector_is_refused_with_its_row(tmp_path: Path, lists: list[Any], row: int, problem: str):
    with pytest.raises(DataError, match=problem) as caught:
        prepare(log(tmp_path), out=tmp_path / "d", items=str(jsonl(tmp_path, lists)), item_vectors="image")
    assert (caught.value.row, caught.value.column) == (row, "image")
    assert not (tmp_path / "d").exists()


def test_text_is_no_vector(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text('item_id,image\na,"[1, 2]"\n')
    with pytest.raises(DataError, match=r"of type String, and vectors are lists.*\n.*--item-vectors image=FILE\.npy"):
        prepare(log(tmp_path), out=tmp_path / "d", items=str(items), item_vectors="image")


def test_a_column_without_any_vector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no item has a vector 'image'"):
        vectors_of_lists(pl.Series([None, []], dtype=pl.List(pl.Float64)), "image", lambda row: (tmp_path, row))


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros((2, 4)), "it has 2 rows, and the items file has 3"),
        (np.zeros(3), r"its shape is \(3,\)"),
        (np.zeros((3, 4097), np.float32), "a vector has 4,097 numbers; allowed: at most 4,096"),
        (np.zeros((3, 0)), r"its shape is \(3, 0\)"),
        (np.zeros((3, 2), complex), "its values are of type complex128"),
        (np.array([["a"], ["b"], ["c"]]), "its values are of type <U1"),
        (np.array([[1, 2], [np.nan, 2], [1, 1]]), "row 2: the vector holds a number that is not finite"),
        (np.array([[1, 2], [1e300, 2], [1, 1]]), "row 2: the vector holds a number that is not finite"),
        (np.array([[1, 2], [np.inf, np.inf], [1, 1]]), "row 2: the vector holds a number that is not finite"),
        (np.array([[{}], [{}], [{}]], dtype=object), "it holds Python objects, or is no .npy file"),
    ],
)
def test_a_file_of_another_shape_or_kind_is_refused(tmp_path: Path, array: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        prepare(log(tmp_path), out=tmp_path / "d", items=str(jsonl(tmp_path)), item_vectors=[npy(tmp_path, array)])
    assert not (tmp_path / "d").exists()


BROKEN = b"\x93NUMPY\x01\x00\x0e\x00"
"""Beginning of a .npy file, up to its header of fourteen bytes."""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        pickle.dumps([1, 2]),
        b"1,2\n3,4\n",
        b"\x93NUMPY\x01\x00v",
        BROKEN + b"{'shape': (3,\n",
        BROKEN + b"  1\n 2\n1     \n",
    ],
)
def test_a_file_that_is_none_of_numpy_s_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image.npy").write_bytes(content)
    option = [f"image={tmp_path / 'image.npy'}"]
    with pytest.raises(DataError, match="the vectors cannot be read"):
        prepare(log(tmp_path), out=tmp_path / "d", items=str(jsonl(tmp_path)), item_vectors=option)


def test_an_archive_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "image.npz", a=np.zeros((3, 2)))
    for name, problem in (("image.npz", "an archive of arrays"), ("no.npy", "there is no such file")):
        option = [f"image={tmp_path / name}"]
        with pytest.raises(DataError, match=problem):
            prepare(log(tmp_path), out=tmp_path / "d", items=str(jsonl(tmp_path)), item_vectors=option)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"item_vectors": "image"}, "item_vectors is image, and no items file is named"),
        ({"item_vectors": "=x.npy", "items": "i"}, "has one without a name; write NAME, or NAME=FILE.npy"),
        ({"item_vectors": "a,a=x.npy", "items": "i"}, "name each column once"),
        ({"item_vectors": "a", "item_columns": "a", "items": "i"}, "name each column once"),
        ({"item_vectors": "title=x.npy", "items": "i"}, "has title, which every data set has"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, str], says: str) -> None:
    if "items" in options:
        options = {**options, "items": str(jsonl(tmp_path))}
    with pytest.raises(ConfigError, match=says):
        prepare(log(tmp_path), out=tmp_path / "d", **options)
