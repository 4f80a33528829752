"""`exploring.py`: added items get their share of the places, spread evenly, and those that would be empty."""

import numpy as np
import pytest

from honeyguide.server.bundles.retrieval import Candidates
from honeyguide.server.serving.exploring import explore, places_of_new
from honeyguide.server.serving.histories import InlineHistory, UserInput
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
    ks = np.full(users, k)
    kept = np.floor(ks * share + 1e-6).astype(int)
    ranking, sources, lengths = explore(before, ITEMS, scores, allowed, ks, kept)
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


@pytest.mark.parametrize(("kept", "new"), [(0, 3), (5, 0)])
def test_no_share_and_no_items_change_nothing(kept, new):
    before, ks = filled(10, 10), np.array([10, 10])
    after = explore(before, ITEMS, np.zeros((2, new), np.float32), np.ones((2, new), bool), ks, np.array([kept, kept]))
    assert after is before


def test_a_share_of_few_places_is_one_for_some_users_and_others_the_next_day():
    days = [[UserInput(f"u{n}", request_time_ms=day * 86_400_000 + n) for n in range(2000)] for day in (0, 1)]
    first, again, next_day = (places_of_new(users, np.full(2000, 5), 0.1) for users in (days[0], days[0], days[1]))
    assert set(first.tolist()) == {0, 1}
    assert 900 < first.sum() < 1100
    assert (first == again).all()
    assert 800 < (first != next_day).sum() < 1200
    assert places_of_new(days[0][:2], np.array([10, 25]), 0.2).tolist() == [2, 5]
    assert places_of_new(days[0][:2], np.array([10, 25]), 0.0).tolist() == [0, 0]
    assert set(places_of_new(days[0], np.full(2000, 13), 0.1).tolist()) == {1, 2}


def test_users_without_a_name_are_told_apart_by_what_they_did_last():
    users = [UserInput(history=InlineHistory([f"i{n}"])) for n in range(100)] + [UserInput()] * 100
    places = places_of_new(users, np.full(200, 5), 0.1)
    assert 30 < places[:100].sum() < 70
    assert len(set(places[100:].tolist())) == 1


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
