"""The served form of user-based filtering, by hand and against the textbook's."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide.models.neighbourhood import cosine_similarity, user_based_scores
from honeyguide.models.user_knn import UserKnn, UserKnnOptions
from honeyguide.models.user_knn_network import UserKnnNetwork, newest_items
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable, Model

FIVE = DataSpec(items=5, repeats=False)
# Ann met 0 and 1, bob 1, 2 and 3, cid 3 alone.
PEOPLE = HistoryBatch.from_lists([[0, 1], [1, 2, 3], [3]])
PLAIN = {"recency": 1.0}


def observed(histories: HistoryBatch, data: DataSpec, **options: Any) -> tuple[Model, Any]:
    model = UserKnn(UserKnnOptions(**options), data)
    network: Any = model.network()
    assert isinstance(network, UserKnnNetwork)
    network.observe(histories, ItemTable.of_rows(data.items))
    return model, network.eval()


def encoded(model: Model, *histories: list[int]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in model.encode(HistoryBatch.from_lists(histories)).items()}


def scores(model: Model, network: Any, *histories: list[int]) -> np.ndarray:
    return network.scores(encoded(model, *histories)).numpy()  # type: ignore[no-any-return]  # torch's are untyped


def test_scores_by_hand() -> None:
    model, network = observed(PEOPLE, FIVE, **PLAIN)
    ann, bob = 1 / sqrt(2), 1 / sqrt(3)  # cosines of a history of item 1 alone; cid's is 0
    assert scores(model, network, [1])[0].tolist() == pytest.approx([ann, ann + bob, bob, bob, 0], abs=1e-5)
    # Of 1 and 3: ann 1/(√2 √2), bob 2/(√2 √3), cid 1/√2.
    ann, bob, cid = 1 / 2, 2 / sqrt(6), 1 / sqrt(2)
    assert scores(model, network, [1, 3])[0].tolist() == pytest.approx([ann, ann + bob, bob, bob + cid, 0], abs=1e-5)


def test_neighbours_count_by_how_much_nearer_they_are_than_the_next() -> None:
    model, network = observed(PEOPLE, FIVE, **PLAIN, neighbours=1)
    ann, bob = 1 / sqrt(2), 1 / sqrt(3)
    assert scores(model, network, [1])[0].tolist() == pytest.approx([ann - bob, ann - bob, 0, 0, 0], abs=1e-5)


def test_doubt_makes_less_of_users_with_few_items() -> None:
    model, network = observed(PEOPLE, FIVE, **PLAIN, shrinkage=1.0)
    ann, bob = 1 / (sqrt(2) + 1), 1 / (sqrt(3) + 1)
    assert scores(model, network, [1])[0].tolist() == pytest.approx([ann, ann + bob, bob, bob, 0], abs=1e-5)


def test_its_mean_is_the_textbooks() -> None:
    rng = np.random.default_rng(1)
    dense = np.where(rng.random((12, 9)) < 0.5, rng.integers(1, 4, (12, 9)), 0)
    dense[:, 0] = 0
    lists = [np.flatnonzero(own).tolist() for own in dense]
    data = DataSpec(items=9, repeats=False, event_types=("1", "2", "3"))
    plain = HistoryBatch.from_lists(lists)
    typed = HistoryBatch(plain.items, plain.offsets, event_types=dense[dense > 0].astype(np.int32))
    others = typed.take(np.arange(1, 12))  # the first comes with a history
    model, network = observed(others, data, **PLAIN, mean=True, event_weight="1:1,2:2,3:3")
    batch = {name: torch.from_numpy(array) for name, array in model.encode(typed.take(np.arange(1))).items()}
    ratings = dense.astype(np.float64)
    expected = user_based_scores(ratings, cosine_similarity(ratings), k=12)[0]
    np.testing.assert_allclose(network.scores(batch).numpy()[0], expected, atol=1e-5)


def test_what_no_neighbour_met_comes_by_popularity() -> None:
    model, network = observed(PEOPLE, FIVE, **PLAIN)
    alone = scores(model, network, [4])[0]
    assert np.argsort(-alone, kind="stable").tolist() == [1, 3, 0, 2, 4]
    assert alone.max() <= 1e-6


def test_shares_are_what_the_neighbours_have_in_common_with_the_history() -> None:
    model, network = observed(PEOPLE, FIVE, **PLAIN)
    shares = network.explain(encoded(model, [1, 3]), torch.tensor([[1, 3, 5]]))[0]
    assert shares[0].tolist() == pytest.approx([1, 0], abs=1e-4)  # ann alone met 0, and she shares 1
    assert shares[1].tolist() == pytest.approx([0.5, 0.5], abs=1e-4)  # bob alone met 2, and he shares both
    assert shares[2].tolist() == pytest.approx([0.5, 0.5])  # nobody met 4


def test_the_users_who_came_last_are_kept() -> None:
    data = DataSpec(items=5, repeats=False, has_time=True)
    timed = HistoryBatch(PEOPLE.items, PEOPLE.offsets, times_ms=np.array([5, 6, 1, 2, 3, 9]))
    model, network = observed(timed, data, **PLAIN, users=1)
    assert network.profiles[1].tolist() == [4, 0, 0, 0, 0]  # cid
    assert scores(model, network, [3])[0].tolist() == pytest.approx([0, 0, 0, 1, 0], abs=1e-5)


def test_of_a_user_the_newest_items_are_kept_and_of_an_item_so_many_users() -> None:
    model, network = observed(PEOPLE, FIVE, **PLAIN, kept=1, listed=1)
    assert sorted(network.profiles[1:4, 0].tolist()) == [2, 4, 4]  # ann's 1, bob's and cid's 3
    assert network.lists.shape == (6, 1)
    assert scores(model, network, [3])[0].tolist() == pytest.approx([0, 0, 0, 1, 0], abs=1e-5)  # one of the two


def test_newest_items_are_the_last_different_ones() -> None:
    histories = HistoryBatch.from_lists([[1, 2, 1, 3, 2], [4]])
    assert newest_items(histories, 2, 5).items.tolist() == [2, 3, 2, 4]
    assert newest_items(histories, 9, 5).items.tolist() == histories.items.tolist()


@pytest.mark.parametrize("option", ["neighbours", "users", "kept", "listed"])
def test_options_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is 0; allowed: 1 or more"):
        UserKnnOptions(**{option: 0})
