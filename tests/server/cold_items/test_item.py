"""`item.py`: an added item survives the disk, and becomes a table in which what is missing is empty."""

import json

import numpy as np
import pytest

from honeyguide.server.cold_items.item import ColdItem, as_table

FULL = ColdItem("n-1", "A title, ü", ("b", "a"), {"blurb": "words"}, {"price": 2.5}, {"image": (1.0, 0.0)})


@pytest.mark.parametrize(
    "change",
    [
        {"item_id": 7},
        {"item_id": ""},
        {"title": None},
        {"categories": [1]},
        {"categories": None},
        {"texts": None},
        {"texts": {"blurb": 1}},
        {"numbers": {"price": "1"}},
        {"vectors": {"image": "12"}},
        {"vectors": {"image": [None]}},
        {"other": 1},
    ],
)
def test_what_is_no_item_is_not_read(change):
    text = json.dumps(json.loads(FULL.to_text()) | change)
    with pytest.raises((TypeError, ValueError, KeyError, AttributeError)):
        ColdItem.from_text(text)


def test_an_item_is_read_as_it_was_written():
    again = ColdItem.from_text(FULL.to_text())
    assert again.to_text() == FULL.to_text()
    assert (again.item_id, again.title, again.categories, again.numbers) == (
        "n-1",
        "A title, ü",
        ("b", "a"),
        {"price": 2.5},
    )


def test_a_table_has_every_column_of_any_item():
    table = as_table([FULL, ColdItem("n-2")])
    assert table.ids.tolist() == ["n-1", "n-2"]
    assert table.texts["blurb"].tolist() == ["words", ""]
    np.testing.assert_array_equal(table.numbers["price"], [2.5, np.nan])
    np.testing.assert_array_equal(table.vectors["image"], [[1, 0], [np.nan, np.nan]])
    assert table.category_names == ("a", "b")
    assert table.categories.offsets.tolist() == [0, 2, 2]


def test_vectors_of_two_lengths_are_named():
    with pytest.raises(ValueError, match=r"vectors 'image' of 1 and of 2 numbers|of 2 and of 1"):
        as_table([FULL, ColdItem("n-2", vectors={"image": (1.0,)})])
