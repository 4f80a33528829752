"""`exploring.py`: added items get their share of the places, spread evenly, and those that would be empty."""

import numpy as np
import pytest

from honeyguide.server.bundles.retrieval import Candidates
from honeyguide.server.serving.exploring import explore
from honeyguide.server.serving.queries import ItemSource

ITEMS = 100
OLD, POPULAR, NEW = ItemSource.RETRIEVED, ItemSource.POPULAR, ItemSource.NEW


def filled(*lengths: int, width: int = 10):
    """Returns answers of rows 0, 1, 2 … with scores 10, 9, 8 …"""
    rows = np.tile(np.arange(width, dtype=np.int32), (len(lengths), 1))
    beyond = np.arange(width) >= np.array(lengths)[:, None]
    scores = np.where(beyond, -np.inf, 10.0 - rows).astype(np.float32)
    return Candidates(np.where(beyond, -1, rows), scores), np.where(beyond, POPULAR, OLD), list(lengths)


def asked(before, *, new: int, share: float, k: int = 10, allowed=None):
    users = len(before[2])
    scores = np.tile(np.arange(new, dtype=np.float32), (users, 1))  # the last is the best
    allowed = np.ones((users, new), bool) if allowed is None else np.array(allowed)
    ranking, sources, lengths = explore(before, ITEMS, scores, allowed, np.full(users, k), share)
    return [
        (rows[:n].tolist(), values[:n].tolist(), kinds[:n].tolist())
        for rows, values, kinds, n in zip(ranking.rows, ranking.scores, sources, lengths, strict=True)
    ]


def test_one_of_ten_is_new_and_stands_last():
    ((rows, scores, kinds),) = asked(filled(10), new=3, share=0.1)
    assert rows == [0, 1, 2, 3, 4, 5, 6, 7, 8, 102]
    assert scores == [10, 9, 8, 7, 6, 5, 4, 3, 2, 2]
    assert kinds == [OLD] * 9 + [NEW]


def test_several_are_spread_evenly_best_first():
    ((rows, _, _),) = asked(filled(10), new=3, share=0.3)
    assert rows == [0, 1, 102, 2, 3, 101, 4, 5, 6, 100]


@pytest.mark.parametrize(("share", "new"), [(0.0, 3), (0.09, 3), (0.5, 0)])
def test_no_share_and_no_items_change_nothing(share, new):
    before = filled(10, 10)
    assert (
        explore(before, ITEMS, np.zeros((2, new), np.float32), np.ones((2, new), bool), np.array([10, 10]), share)
        is before
    )


def test_empty_places_are_filled_beyond_the_share():
    short, whole, none = asked(filled(7, 10, 0), new=2, share=0.0)
    assert [row for row in short[0] if row >= ITEMS] == [101, 100]
    assert (len(short[0]), whole[0]) == (9, list(range(10)))
    assert (none[0], none[1], none[2]) == ([101, 100], [1, 0], [NEW, NEW])


def test_each_user_gets_what_it_may_get_alone():
    one, two = asked(filled(10, 10), new=3, share=0.2, allowed=[[True, False, False], [False, False, False]])
    assert [row for row in one[0] if row >= ITEMS] == [100]
    assert two[0] == list(range(10))
    assert all(np.isfinite(one[1]))


def test_an_answer_that_begins_with_a_new_item_has_scores_all_the_same():
    ((rows, scores, _),) = asked(filled(2, width=2), new=2, share=0.99, k=3)
    assert (rows, scores) == ([101, 0, 100], [10, 10, 10])
