import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.sdk import Categories, HistoryBatch
from honeyguide.sdk.metrics import (
    auc,
    coverage,
    distinct_categories,
    intra_list_diversity,
    mask_seen,
    metrics_at,
    novelty,
    per_user_at,
    target_ranks,
)


def test_a_hand_worked_example():
    # User 0 has three relevant items at ranks 1, 3 and 12; user 1 has one, at rank 2; user 2 one that is not ranked.
    ranks = np.array([12.0, 1.0, 3.0, 2.0, np.inf])
    users = np.array([0, 0, 0, 1, 2])
    found = per_user_at(ranks, users, 3, 5)
    assert found["hr"].tolist() == [1, 1, 0]
    assert found["recall"] == pytest.approx([2 / 3, 1, 0])
    assert found["precision"] == pytest.approx([2 / 5, 1 / 5, 0])
    assert found["f1"] == pytest.approx([2 * 0.4 * (2 / 3) / (0.4 + 2 / 3), 2 * 0.2 / 1.2, 0])
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert found["ndcg"] == pytest.approx([(1 + 1 / 2) / ideal, 1 / math.log2(3), 0])
    assert found["mrr"] == pytest.approx([1, 1 / 2, 0])
    assert found["map"] == pytest.approx([(1 / 1 + 2 / 3) / 3, 1 / 2, 0])


def test_metrics_at_averages_over_users_for_every_cut():
    found = metrics_at(np.array([1.0, 4.0]), np.array([0, 1]), 2, [1, 5])
    assert found["hr@1"] == 0.5
    assert found["hr@5"] == 1.0
    assert found["ndcg@5"] == pytest.approx((1 + 1 / math.log2(5)) / 2)
    assert len(found) == 14


@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=5, unique=True), min_size=1, max_size=5))
def test_every_metric_stays_between_0_and_1_and_agrees_with_a_naive_reading(lists):
    ranks = np.array([float(rank) for user in lists for rank in user])
    users = np.repeat(np.arange(len(lists)), [len(user) for user in lists])
    found = per_user_at(ranks, users, len(lists), 10)
    for name, values in found.items():
        assert ((values >= 0) & (values <= 1 + 1e-12)).all(), name
    for i, user in enumerate(lists):
        hits = sorted(rank for rank in user if rank <= 10)
        assert found["recall"][i] == pytest.approx(len(hits) / len(user))
        assert found["mrr"][i] == pytest.approx(1 / hits[0] if hits else 0)
        gain = sum(1 / math.log2(rank + 1) for rank in hits)
        best = sum(1 / math.log2(place + 2) for place in range(min(len(user), 10)))
        assert found["ndcg"][i] == pytest.approx(gain / best)
        precisions = sum(nth / rank for nth, rank in enumerate(hits, 1))
        assert found["map"][i] == pytest.approx(precisions / min(len(user), 10))


def test_equal_scores_share_the_mean_of_their_ranks():
    scores = np.array([[0.9, 0.5, 0.5, 0.5, 0.1]], np.float32)
    ranks = target_ranks(scores, np.zeros(5, np.int64), np.arange(5))
    assert ranks.tolist() == [1, 3, 3, 3, 5]


def test_a_masked_target_is_not_ranked():
    scores = np.array([[0.3, 0.2, 0.1], [0.3, 0.2, 0.1]], np.float32)
    mask_seen(scores, HistoryBatch.from_lists([[0], [1, 2]]))
    assert np.isneginf(scores).tolist() == [[True, False, False], [False, True, True]]
    assert target_ranks(scores, np.array([0, 0, 1]), np.array([0, 1, 0])).tolist() == [np.inf, 1, 1]


def test_more_targets_than_one_chunk_rank_alike():
    scores = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    users, items = np.arange(3000) % 3, np.arange(3000) % 50
    expected = [1 + (scores[user] > scores[user, item]).sum() for user, item in zip(users, items, strict=True)]
    assert target_ranks(scores, users, items).tolist() == expected


def test_auc_is_the_share_of_pairs_in_the_right_order():
    # Ten ranked items. User 0: relevant at 1 and 4; of 2 × 8 pairs, 8 + 6 are right. User 1: last of 10: none of 9.
    assert auc(np.array([1.0, 4.0]), np.array([0, 0]), 1, np.array([10])) == pytest.approx(14 / 16)
    assert auc(np.array([10.0]), np.array([0]), 1, np.array([10])) == 0.0
    assert auc(np.array([1.0, 4.0, 10.0]), np.array([0, 0, 1]), 2, np.array([10, 10])) == pytest.approx(7 / 16)
    assert auc(np.array([5.5]), np.array([0]), 1, np.array([10])) == 0.5  # all scores are equal


def test_coverage_counts_distinct_items_and_no_gaps():
    assert coverage(np.array([[0, 1, -1], [1, 2, -1]]), 6) == 0.5
    assert coverage(np.array([[-1]]), 6) == 0.0


def test_diversity_of_hand_worked_lists():
    # Cosines: (0, 1) 1, (0, 2) 0, (0, 3) -1; item 4 is zero and similar to nothing.
    vectors = np.array([[1, 0], [3, 0], [0, 2], [-1, 0], [0, 0]], np.float32)
    lists = np.array([[0, 1, -1], [0, 2, -1], [0, 3, -1], [0, 1, 2], [0, 1, 4], [2, -1, -1], [-1, -1, -1]])
    # Three pairs: cosines 1, 0, 0 give 1 - 1/3; one item or none has no pair.
    assert intra_list_diversity(lists, vectors) == pytest.approx([0, 1, 2, 2 / 3, 2 / 3, 0, 0])


@given(st.integers(2, 8), st.integers(0, 1000))
def test_diversity_is_the_mean_over_all_pairs(k, seed):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(10, 3))
    rows = random.permutation(10)[:k]
    unit = vectors[rows] / np.linalg.norm(vectors[rows], axis=1, keepdims=True)
    pairs = [1 - unit[i] @ unit[j] for i in range(k) for j in range(i)]
    assert intra_list_diversity(rows[None], vectors) == pytest.approx([np.mean(pairs)])


def test_many_users_get_the_diversity_of_one():
    lists = np.tile([[0, 1], [0, 2]], (1000, 1))
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert intra_list_diversity(lists, vectors).tolist() == [0, 1] * 1000


def test_categories_are_counted_once_however_many_items_are_in_them():
    # Item 0 is in 4 and 7, item 1 in 7, item 2 in none, item 3 in 0.
    categories = Categories(np.array([0, 2, 3, 3, 4]), np.array([4, 7, 7, 0], np.int32))
    lists = np.array([[0, 1, 2], [1, 3, -1], [2, -1, -1], [3, 0, 1]])
    assert distinct_categories(lists, categories).tolist() == [2, 2, 0, 3]
    assert distinct_categories(lists[2:3], categories).tolist() == [0]
    assert distinct_categories(lists[:0], categories).tolist() == []


def test_novelty_is_the_mean_self_information():
    # With 1 added: 4, 2, 1 and 1 of 8 events, so 1, 2, 3 and 3 bits.
    popularity = np.array([3, 1, 0, 0])
    found = novelty(np.array([[0, 1], [1, -1], [2, 3], [-1, -1]]), popularity)
    assert found.tolist() == [1.5, 2.0, 3.0, 0.0]
