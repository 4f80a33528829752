import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.sdk.candidates import ranker_inputs, source_scores, sourced_candidates, top_k, union


def test_the_first_list_comes_first_and_the_second_adds_what_is_new():
    first = np.array([[5, 3, 9], [1, -1, -1], [-1, -1, -1]], np.int32)
    second = np.array([[3, 7, 5, 0], [4, 1, 2, -1], [-1, -1, -1, -1]])
    assert union([first, second]).tolist() == [[5, 3, 9, 7, 0], [1, 4, 2, -1, -1], [-1, -1, -1, -1, -1]]


def test_one_retriever_s_list_stays_as_it_is():
    assert union([np.array([[2, 0, 1]])]).tolist() == [[2, 0, 1]]


def test_without_any_candidate_one_column_is_left():
    assert union([np.full((2, 3), -1), np.full((2, 0), -1)]).tolist() == [[-1], [-1]]


@given(st.lists(st.tuples(st.lists(st.integers(-1, 6)), st.lists(st.integers(-1, 6))), min_size=1, max_size=5))
def test_union_equals_a_plain_loop(users):
    tables = []
    for side in (0, 1):
        width = max(len(user[side]) for user in users)
        rows = [user[side] + [-1] * (width - len(user[side])) for user in users]
        tables.append(np.array(rows, np.int64).reshape(len(users), width))
    joined = union(tables)
    for row, user in zip(joined.tolist(), users, strict=True):
        expected = list(dict.fromkeys(item for item in user[0] + user[1] if item >= 0))
        assert row == expected + [-1] * (joined.shape[1] - len(expected))


def test_every_source_scores_every_candidate_and_padding_is_zero():
    users = [np.array([[1.0, 2.0]], np.float32), np.array([[3.0]], np.float32)]
    items = [np.array([[1, 0], [0, 1], [1, 1]], np.float32), np.array([[1], [2], [4]], np.float32)]
    scores = source_scores(np.array([[2, 0, -1]]), users, items)
    assert scores.dtype == np.float32
    assert scores.tolist() == [[[3.0, 12.0], [1.0, 3.0], [0.0, 0.0]]]


def test_top_k_gives_the_best_first_and_minus_one_where_masked():
    scores = np.array([[1, 3, 2, 3], [-np.inf, 0, -np.inf, -1]], np.float32)
    rows, best = top_k(scores, 3)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[1, 3, 2], [1, 3, -1]]
    assert best.tolist() == [[3, 3, 2], [0, -1, -np.inf]]
    assert top_k(scores, 9)[0].shape == (2, 4)
    assert top_k(scores, 0)[0].shape == (2, 0)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=7, max_size=7), min_size=1, max_size=4), st.integers(1, 9))
def test_top_k_equals_sorting_everything(lists, k):
    scores = np.array(lists, np.float32)
    rows, best = top_k(scores, k)
    assert best.tolist() == np.sort(scores, axis=1)[:, ::-1][:, :k].tolist()
    assert rows.tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :k].tolist()


@given(st.lists(st.lists(st.integers(-3, 3), min_size=7, max_size=7), min_size=1, max_size=4), st.integers(1, 9))
def test_top_k_lists_nothing_that_is_masked(lists, k):
    scores = np.array(lists, np.float32)
    scores[scores == -3] = -np.inf
    rows, best = top_k(scores, k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert rows.tolist() == np.where(np.isneginf(best), -1, order).tolist()
    assert best.tolist() == np.take_along_axis(scores, order, 1).tolist()


@pytest.mark.parametrize("broken", [slice(None), slice(3, 6), slice(0, 1)])
def test_scores_that_are_no_numbers_change_no_other_users_best(broken):
    scores = np.random.default_rng(0).integers(0, 5, (3, 9)).astype(np.float32)
    expected, best = top_k(scores[[0, 2]], 4)
    scores[1, broken] = np.nan
    rows, values = top_k(scores, 4)
    assert rows[[0, 2]].tolist() == expected.tolist()
    assert values[[0, 2]].tolist() == best.tolist()
    assert ((rows[1] >= 0) & (rows[1] < 9)).all()


def test_a_ranker_reads_tokens_and_no_score_of_a_place_without_a_candidate():
    scores = np.array([[[0.5], [-np.inf]]], np.float32)
    inputs = ranker_inputs(np.array([[4, -1]], np.int32), scores)
    assert list(inputs) == ["candidates", "retrieval_scores"]
    assert inputs["candidates"].dtype == np.int64
    assert inputs["candidates"].tolist() == [[5, 0]]
    assert inputs["retrieval_scores"].tolist() == [[[0.5], [0.0]]]


def test_where_a_user_has_fewer_candidates_nobody_scores():
    none = np.float32(-np.inf)
    scores = [np.array([[1, none, none], [3, 2, 1]], np.float32), np.array([[1, none, none], [1, 2, 3]], np.float32)]
    rows, retrieval = sourced_candidates(scores, 2)
    assert rows.tolist() == [[0, -1, -1], [0, 1, 2]]
    assert retrieval[0].tolist() == [[1, 1], [none, none], [none, none]]
