"""`segment.py`: added items stand behind the catalogue's rows, with titles, categories and vectors of their own."""

import numpy as np

from honeyguide.server.bundles.catalogue import ItemFilter
from honeyguide.server.cold_items.item import ColdItem
from honeyguide.server.cold_items.segment import Segment


def test_names_go_on_behind_the_catalogue(placing):
    items = [ColdItem("n-0", "New", ("odd", "odd")), ColdItem("n-1", "", ("fresh",))]
    segment = Segment.of(placing.catalogue, items, np.ones((2, 8), np.float32))
    rows = np.array([61, 3, 60, 0], np.int32)
    assert len(segment.names) == 62
    assert segment.names.item_ids(rows) == ["n-1", "item-3", "n-0", "item-0"]
    assert segment.names.titles(rows) == ["", "Title 3", "New", "Title 0"]
    assert segment.catalogue.allowed(ItemFilter(any_categories=["odd"])).tolist() == [True, False]
    assert segment.catalogue.unknown_categories(ItemFilter(any_categories=["fresh", "even"])) == ("even",)
