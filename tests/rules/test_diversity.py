import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rankings import ranking

from honeyguide.rules.diversity import Diversity
from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.host import PluginHost


def diversity(**options) -> Diversity:
    return Diversity(Diversity.Config(**options))


def test_a_hand_worked_example():
    # Scores 4, 3, 2 become 1, .5, 0. Item 1 points where item 0 does (cosine 1), item 2 stands at a right angle (0).
    # trade_off .5: first 0. Then item 1: .25 - .5 = -.25; item 2: 0 - 0 = 0: item 2 wins, and item 1 is left.
    assert diversity(trade_off=0.5).apply(ranking([4, 3, 2], [[1, 0], [2, 0], [0, 3]]), 3).tolist() == [[0, 2, 1]]
    # trade_off .8: item 1: .4 - .2 = .2; item 2: 0: the order stays.
    assert diversity(trade_off=0.8).apply(ranking([4, 3, 2], [[1, 0], [2, 0], [0, 3]]), 3).tolist() == [[0, 1, 2]]


def test_opposite_items_are_the_most_various():
    # Cosines with item 0: item 1 has 0, item 2 has -1; relevance is left out.
    assert diversity(trade_off=0.0).apply(ranking([4, 3, 2], [[1, 0], [0, 1], [-1, 0]]), 2).tolist() == [[0, 2, 1]]


def test_near_duplicates_are_separated():
    vectors = [[1, 0, 0], [1, 0.01, 0], [1, 0, 0.01], [0, 1, 0], [0, 0, 1]]
    assert set(diversity(trade_off=0.5).apply(ranking([5, 4.9, 4.8, 4.7, 4.6], vectors), 3)[0, :3]) == {0, 3, 4}


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=12), st.integers(1, 12))
def test_trade_off_1_keeps_the_order(scores, k):
    scores = sorted(scores, reverse=True)
    vectors = np.random.default_rng(0).normal(size=(len(scores), 4))
    places = diversity(trade_off=1.0).apply(ranking(scores, vectors), k)
    assert places.tolist() == [list(range(len(scores)))]


@given(st.floats(0, 1), st.integers(1, 7), st.integers(0, 1000))
def test_what_is_not_picked_keeps_its_order_behind(trade_off, k, seed):
    random = np.random.default_rng(seed)
    scores = -np.sort(-random.normal(size=(5, 8)), axis=1)
    places = diversity(trade_off=trade_off).apply(ranking(scores, random.normal(size=(8, 4))), k)
    assert (np.sort(places, axis=1) == np.arange(8)).all()
    assert (np.diff(places[:, k:], axis=1) > 0).all()


def test_places_without_an_item_are_never_picked():
    empty = -np.inf
    both = ranking([[3, 2, empty], [empty, empty, empty]], np.eye(3), [[0, 1, -1], [-1, -1, -1]])
    assert diversity().apply(both, 3).tolist() == [[0, 1, -1], [-1, -1, -1]]


def test_nothing_to_rank_gives_nothing():
    assert diversity().apply(ranking(np.zeros((2, 0)), np.eye(3), np.zeros((2, 0))), 5).shape == (2, 0)


def test_equal_scores_and_zero_vectors_keep_the_order():
    assert diversity().apply(ranking([1, 1, 1], np.zeros((3, 2))), 3).tolist() == [[0, 1, 2]]


def test_only_the_pool_is_picked_from_unless_k_is_larger():
    vectors = [[1, 0], [1, 0], [0, 1]]
    assert diversity(trade_off=0.0, pool=2).apply(ranking([3, 2, 1], vectors), 2).tolist() == [[0, 1, 2]]
    assert diversity(trade_off=0.0, pool=1).apply(ranking([3, 2, 1], vectors), 3).tolist() == [[0, 2, 1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"trade_off": 1.5}, "trade_off is 1.5; it must be from 0 to 1"), ({"pool": 0}, "pool is 0; it must be 1 or")],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        config_from(Diversity.Config, options)


def test_the_rule_is_found_by_its_name(host: PluginHost):
    assert host.rule("diversity") is Diversity
