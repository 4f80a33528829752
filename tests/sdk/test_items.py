"""The catalogue by row: what is known of each item, and how a missing column is refused."""

import numpy as np
import pytest

from honeyguide.sdk import ItemTable
from honeyguide.sdk.errors import ConfigError


def test_lists_become_columns_by_row() -> None:
    table = ItemTable.from_lists(
        ["a", "b", "c"],
        titles=["A", "", "C"],
        categories=[["red", "blue"], [], ["red", "red"]],
        texts={"brand": ["x", "", "y"]},
        numbers={"price": [1.5, np.nan, 3.0]},
        vectors={"image": [[1, 2], [3, 4], [5, 6]]},
    )
    assert (len(table), table.ids.tolist(), table.titles.tolist()) == (3, ["a", "b", "c"], ["A", "", "C"])
    assert table.category_names == ("blue", "red")
    assert table.categories.offsets.tolist() == [0, 2, 2, 3]
    assert table.categories.codes.tolist() == [0, 1, 1]  # ascending, and "red" once
    assert table.text("brand").tolist() == ["x", "", "y"]
    np.testing.assert_array_equal(table.number("price"), [1.5, np.nan, 3.0])
    assert (table.vector("image").dtype, table.vector("image").shape) == (np.float32, (3, 2))


def test_what_is_left_out_is_empty() -> None:
    table = ItemTable.of_rows(3)
    assert (table.ids.tolist(), table.titles.tolist()) == (["0", "1", "2"], ["", "", ""])
    assert (table.categories.offsets.tolist(), table.category_names) == ([0, 0, 0, 0], ())
    assert (dict(table.texts), dict(table.numbers)) == ({}, {})


def test_a_column_that_is_not_there_is_refused_with_those_that_are() -> None:
    table = ItemTable.from_lists(["a"], texts={"brand": ["x"], "colour": ["red"]}, numbers={"price": [1.0]})
    with pytest.raises(ConfigError, match=r"no text column 'size'.* it keeps: brand, colour; .*--item-columns size"):
        table.text("size")
    with pytest.raises(ConfigError, match=r"no number column 'brand'.* it keeps: price; "):
        table.number("brand")
    with pytest.raises(ConfigError, match=r"no vector column 'image'.* it keeps: none; .*--item-vectors image"):
        table.vector("image")
    with pytest.raises(ConfigError, match="it keeps: none; "):
        ItemTable.of_rows(1).text("brand")
