import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.rules.diversity import Diversity
from honeyguide.sdk import Categories, HistoryBatch, PluginHost, Ranking, config_from
from honeyguide.sdk.errors import ConfigError


def ranking(scores, vectors, rows=None) -> Ranking:
    scores = np.atleast_2d(np.asarray(scores, np.float32))
    rows = np.arange(scores.shape[1])[None, :].repeat(len(scores), 0) if rows is None else rows
    rows = np.asarray(rows, np.int32)
    return Ranking(
        rows=rows,
        scores=scores,
        item_vectors=np.asarray(vectors, np.float32),
        history=HistoryBatch.from_lists([[]] * len(rows)),
        categories=Categories(np.zeros(len(vectors) + 1, np.int64), np.empty(0, np.int32)),
    )


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
    assert diversity(trade_off=0.0).apply(ranking([4, 3, 2], [[1, 0], [0, 1], [-1, 0]]), 2).tolist() == [[0, 2]]


def test_near_duplicates_are_separated():
    vectors = [[1, 0, 0], [1, 0.01, 0], [1, 0, 0.01], [0, 1, 0], [0, 0, 1]]
    assert set(diversity(trade_off=0.5).apply(ranking([5, 4.9, 4.8, 4.7, 4.6], vectors), 3)[0]) == {0, 3, 4}


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=12), st.integers(1, 12))
def test_trade_off_1_keeps_the_order(scores, k):
    scores = sorted(scores, reverse=True)
    vectors = np.random.default_rng(0).normal(size=(len(scores), 4))
    places = diversity(trade_off=1.0).apply(ranking(scores, vectors), k)
    assert places.tolist() == [list(range(min(k, len(scores))))]


@given(st.floats(0, 1), st.integers(1, 8), st.integers(0, 1000))
def test_batch_equals_singles(trade_off, k, seed):
    random = np.random.default_rng(seed)
    scores = -np.sort(-random.normal(size=(5, 8)), axis=1)
    rows = np.stack([random.permutation(20)[:8] for _ in range(5)])
    vectors = random.normal(size=(20, 4))
    rule = diversity(trade_off=trade_off)
    together = rule.apply(ranking(scores, vectors, rows), k)
    for user in range(5):
        assert together[user].tolist() == rule.apply(ranking(scores[user], vectors, rows[[user]]), k)[0].tolist()
        assert len(set(together[user])) == k


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
    assert diversity(trade_off=0.0, pool=2).apply(ranking([3, 2, 1], vectors), 2).tolist() == [[0, 1]]
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
