import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rankings import ranking

from honeyguide.rules.category_cap import CategoryCap
from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.host import PluginHost


def apply(categories, k, *, rows=None, **options) -> list[list[int]]:
    places = [list(range(len(categories)))] if rows is None else rows
    scores = np.where(np.asarray(places) >= 0, -np.arange(np.shape(places)[1]), -np.inf)
    given = ranking(scores, np.eye(len(categories)), places, categories=categories)
    return CategoryCap(CategoryCap.Config(**options)).apply(given, k).tolist()


def test_what_exceeds_the_cap_moves_behind_in_its_order():
    assert apply([[0], [0], [0], [1], [0], [1]], 4, cap=2) == [[0, 1, 3, 5, 2, 4]]


def test_the_cap_counts_the_first_k_alone():
    assert apply([[0], [0], [1], [0]], 2, cap=1) == [[0, 2, 1, 3]]
    assert apply([[0], [1], [0], [0]], 2, cap=1) == [[0, 1, 2, 3]]


def test_an_item_of_several_categories_counts_in_each():
    # Item 0 fills both; item 1 is in one of them, item 2 in neither.
    assert apply([[0, 1], [1], [2]], 2, cap=1) == [[0, 2, 1]]
    # Item 1 is passed over for category 0, and so takes no place of category 1 from item 2.
    assert apply([[0], [0, 1], [1]], 2, cap=1) == [[0, 2, 1]]


def test_items_without_a_category_are_free():
    assert apply([[], [], [0], [], [0]], 4, cap=1) == [[0, 1, 2, 3, 4]]
    assert apply([[], [], []], 2, cap=1) == [[0, 1, 2]]


def test_k_is_filled_by_the_best_of_those_over_the_cap():
    assert apply([[0], [0], [0], [1]], 3, cap=1) == [[0, 3, 1, 2]]


def test_users_do_not_count_together():
    rows = [[0, 1, 2], [2, 1, 0], [1, -1, -1], [-1, -1, -1]]
    found = apply([[0], [0], [1]], 2, cap=1, rows=rows)
    assert found == [[0, 2, 1], [0, 1, 2], [0, -1, -1], [-1, -1, -1]]


def _naive(own, k, cap) -> list[int]:
    taken, held = [], {}
    for place, categories in enumerate(own):
        if len(taken) < k and all(held.get(code, 0) < cap for code in categories):
            taken.append(place)
            held |= {code: held.get(code, 0) + 1 for code in categories}
    return taken + [place for place in range(len(own)) if place not in taken]


@given(st.lists(st.sets(st.integers(0, 4), max_size=3), min_size=1, max_size=12), st.integers(1, 12), st.integers(1, 4))
def test_the_order_is_that_of_a_walk_down_the_list(categories, k, cap):
    own = [sorted(codes) for codes in categories]
    assert apply(own, k, cap=cap) == [_naive(own, k, cap)]


def test_a_cap_below_1_is_refused():
    with pytest.raises(ConfigError, match="cap is 0; it must be 1 or more"):
        config_from(CategoryCap.Config, {"cap": 0})


def test_the_rule_is_found_by_its_name(host: PluginHost):
    assert host.rule("category_cap") is CategoryCap
