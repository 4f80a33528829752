"""The data that models are checked on has the answer that it says it has."""

import numpy as np

from honeyguide.conformance.data import ITEMS, blank_table, bundle_items, item_table, walks


def test_two_places_on_is_always_next() -> None:
    board = walks(7, 50)
    newest = board.histories.items[board.histories.offsets[1:] - 1]
    np.testing.assert_array_equal(board.target_items, (newest + 2) % ITEMS)


def test_a_network_finds_every_column_it_asks_for_with_gaps() -> None:
    table = item_table()
    assert (list(table.texts), list(table.numbers)) == (["text"], ["number"])
    assert table.text("brand")[3:6].tolist() == ["odd place", "", "odd place"]
    np.testing.assert_array_equal(table.number("price")[3:6], [3.0, np.nan, 5.0])
    assert table.ids.tolist() == bundle_items()["item_id"].to_list()


def test_of_a_blank_table_nothing_is_known() -> None:
    table = blank_table()
    assert {*table.titles, *table.text("brand")} == {""}
    assert np.isnan(table.number("price")).all()
    assert (len(table), len(table.categories.codes)) == (ITEMS, 0)
