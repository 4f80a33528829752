import math

import numpy as np
import pytest

from honeyguide.models.neighbourhood import cosine_similarity, item_based_scores, user_based_scores

RATINGS = np.array(
    [
        [5.0, 3.0, 0.0],  # ann
        [4.0, 0.0, 4.0],  # bob
        [1.0, 1.0, 5.0],  # cid
        [0.0, 0.0, 0.0],  # dan rated nothing
    ]
)


def test_cosine_of_hand_worked_rows() -> None:
    found = cosine_similarity(np.array([[3.0, 4.0], [4.0, 3.0], [-4.0, 3.0], [6.0, 8.0]]))
    expected = [[1, 0.96, 0, 1], [0.96, 1, -0.28, 0.96], [0, -0.28, 1, 0], [1, 0.96, 0, 1]]
    assert found == pytest.approx(np.array(expected))


def test_a_row_of_zeros_is_similar_to_nothing() -> None:
    assert cosine_similarity(RATINGS)[3].tolist() == [0.0, 0.0, 0.0, 0.0]


def test_the_user_based_score_is_the_neighbours_weighted_mean() -> None:
    similarity = cosine_similarity(RATINGS)
    ann_bob = 20 / (math.sqrt(34) * math.sqrt(32))
    ann_cid = 8 / (math.sqrt(34) * math.sqrt(27))
    assert similarity[0, 1:3].tolist() == pytest.approx([ann_bob, ann_cid])
    scores = user_based_scores(RATINGS, similarity, k=2)
    assert scores[0, 2] == pytest.approx((ann_bob * 4 + ann_cid * 5) / (ann_bob + ann_cid))
    bob_cid = 24 / (math.sqrt(32) * math.sqrt(27))
    assert scores[1, 1] == pytest.approx((ann_bob * 3 + bob_cid * 1) / (ann_bob + bob_cid))
    assert scores[3].tolist() == [0.0, 0.0, 0.0]


def test_only_the_k_nearest_who_rated_the_item_count() -> None:
    scores = user_based_scores(RATINGS, cosine_similarity(RATINGS), k=1)
    assert scores[0, 2] == pytest.approx(4.0)  # bob is nearer to ann than cid
    assert scores[0, 1] == pytest.approx(1.0)  # bob is nearer, but cid alone rated it
    assert scores[1, 1] == pytest.approx(1.0)  # cid is nearer to bob than ann


def test_the_item_based_score_is_the_mean_over_the_users_own_ratings() -> None:
    similarity = cosine_similarity(RATINGS.T)
    item_01 = 16 / (math.sqrt(42) * math.sqrt(10))
    item_02 = 21 / (math.sqrt(42) * math.sqrt(41))
    item_12 = 5 / (math.sqrt(10) * math.sqrt(41))
    assert [similarity[0, 1], similarity[0, 2], similarity[1, 2]] == pytest.approx([item_01, item_02, item_12])
    scores = item_based_scores(RATINGS, similarity, k=2)
    assert scores[0, 2] == pytest.approx((item_02 * 5 + item_12 * 3) / (item_02 + item_12))
    assert scores[1, 1] == pytest.approx((item_01 * 4 + item_12 * 4) / (item_01 + item_12))
    assert item_based_scores(RATINGS, similarity, k=1)[0, 2] == pytest.approx(5.0)
    assert scores[3].tolist() == [0.0, 0.0, 0.0]


def test_a_user_is_not_a_neighbour_of_their_own() -> None:
    alone = np.array([[5.0, 0.0], [0.0, 2.0]])
    assert user_based_scores(alone, cosine_similarity(alone), k=5).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_no_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="k is 0; allowed: 1 or more"):
        user_based_scores(RATINGS, cosine_similarity(RATINGS), k=0)
