import numpy as np
import pytest

from honeyguide.models.knn.ratings import Ratings
from honeyguide.models.knn.similarity import most_similar, rating_matrix
from honeyguide.models.neighbourhood import cosine_similarity
from honeyguide.sdk import DataSpec, HistoryBatch


def random_ratings(users: int, items: int) -> tuple[Ratings, np.ndarray]:
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((users, items)) < 0.3, rng.integers(1, 6, (users, items)), 0).astype(np.float32)
    rows, columns = np.nonzero(dense)
    return Ratings(rows, columns, dense[rows, columns]), dense


@pytest.mark.parametrize("shrinkage", [0.0, 5.0])
@pytest.mark.parametrize("cells", [1 << 23, 30])  # all items at once, and two at a time
def test_it_lists_what_the_dense_formula_puts_first(
    shrinkage: float, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("honeyguide.models.knn.similarity._CELLS", cells)
    ratings, dense = random_ratings(20, 15)
    expected = cosine_similarity(dense.T.astype(np.float64), shrinkage)
    np.fill_diagonal(expected, 0)
    tokens, similarities = most_similar(ratings, 15, 4, shrinkage)
    best = -np.sort(-expected, axis=1)[:, :4]
    np.testing.assert_allclose(similarities, best, rtol=1e-5)
    there = tokens > 0
    np.testing.assert_array_equal(there, best > 0)
    listed = np.take_along_axis(expected, np.maximum(tokens - 1, 0), 1)
    np.testing.assert_allclose(listed[there], similarities[there], rtol=1e-5)


def test_three_films_by_hand() -> None:
    # Ann met 0 and 1, bob 0, 1 and 2, cid 2: |0| = |1| = |2| = √2, so cos(0, 1) = 2/2, cos(0, 2) = cos(1, 2) = 1/2.
    histories = HistoryBatch.from_lists([[0, 1], [2, 1, 0], [2]])
    ratings = Ratings.of(histories, DataSpec(items=4, repeats=False), "")
    tokens, similarities = most_similar(ratings, 4, 3, 0.0)
    assert tokens.tolist() == [[2, 3, 0], [1, 3, 0], [1, 2, 0], [0, 0, 0]]  # nobody met item 3
    assert similarities.tolist() == pytest.approx(np.array([[1, 0.5, 0], [1, 0.5, 0], [0.5, 0.5, 0], [0, 0, 0]]))
    _, shrunk = most_similar(ratings, 4, 3, 2.0)  # 2 / (2 + 2) and 1 / (2 + 2)
    assert shrunk[0].tolist() == pytest.approx([0.5, 0.25, 0])


def test_the_matrix_holds_each_pair_once() -> None:
    ratings, dense = random_ratings(5, 7)
    np.testing.assert_array_equal(rating_matrix(ratings, 7).toarray(), dense)
    assert (
        rating_matrix(Ratings(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)), 7).shape[1] == 7
    )
