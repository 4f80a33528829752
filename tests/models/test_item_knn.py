"""The served form of item-based filtering, by hand and against the textbook's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from honeyguide.models.item_knn import ItemKnn, ItemKnnOptions
from honeyguide.models.item_knn_network import ItemKnnNetwork
from honeyguide.models.neighbourhood import cosine_similarity, item_based_scores
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable, Model
from honeyguide.sdk.history import HistoryBatch as Histories

# Ann met 0 and 1, bob 0, 1 and 2, cid 2: cos(0, 1) = 1, cos(0, 2) = cos(1, 2) = 1/2. Nobody met 3.
FILMS = HistoryBatch.from_lists([[0, 1], [2, 1, 0], [2]])
FOUR = DataSpec(items=4, repeats=False)
PLAIN = {"shrinkage": 0.0, "recency": 1.0}


def observed(histories: Histories, data: DataSpec, **options: Any) -> tuple[Model, Any]:
    model = ItemKnn(ItemKnnOptions(**options), data)
    network: Any = model.network()
    assert isinstance(network, ItemKnnNetwork)
    network.observe(histories, ItemTable.of_rows(data.items))
    return model, network.eval()


def encoded(model: Model, *histories: list[int]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in model.encode(Histories.from_lists(histories)).items()}


def scores(model: Model, network: Any, *histories: list[int]) -> np.ndarray:
    return network.scores(encoded(model, *histories)).numpy()  # type: ignore[no-any-return]  # torch's are untyped


def test_scores_by_hand() -> None:
    model, network = observed(FILMS, FOUR, **PLAIN)
    found = scores(model, network, [2], [0, 2])
    assert found[0].tolist() == pytest.approx([0.5, 0.5, 0, 0], abs=1e-5)
    # 0 gives 1 to 1 and 1/2 to 2; 2 gives 1/2 to 0 and to 1.
    assert found[1].tolist() == pytest.approx([0.5, 1.5, 0.5, 0], abs=1e-5)


def test_the_newest_event_counts_most() -> None:
    model, network = observed(FILMS, FOUR, shrinkage=0.0, recency=0.5)
    assert scores(model, network, [0, 2])[0].tolist() == pytest.approx([0.5, 1.0, 0.25, 0], abs=1e-5)


def test_only_the_nearest_are_kept_and_doubt_shrinks_them() -> None:
    model, network = observed(FILMS, FOUR, **PLAIN, neighbours=1)
    assert scores(model, network, [0])[0].tolist() == pytest.approx([0, 1, 0, 0], abs=1e-5)
    model, network = observed(FILMS, FOUR, recency=1.0, shrinkage=2.0)
    assert scores(model, network, [0])[0].tolist() == pytest.approx([0, 0.5, 0.25, 0], abs=1e-5)


def test_what_nobody_met_with_the_history_comes_by_popularity() -> None:
    model, network = observed(FILMS, FOUR, **PLAIN)
    alone = scores(model, network, [3])[0]
    assert (alone[:3] > alone[3]).all()
    assert alone.max() <= 1e-6


def test_its_mean_is_the_textbooks() -> None:
    rng = np.random.default_rng(1)
    dense = np.where(rng.random((12, 9)) < 0.5, rng.integers(1, 4, (12, 9)), 0)
    lists = [np.flatnonzero(own).tolist() for own in dense]
    data = DataSpec(items=9, repeats=False, event_types=("1", "2", "3"))
    plain = HistoryBatch.from_lists(lists)
    typed = HistoryBatch(plain.items, plain.offsets, event_types=dense[dense > 0].astype(np.int32))
    model, network = observed(typed, data, **PLAIN, mean=True, event_weight="1:1,2:2,3:3")
    batch = {name: torch.from_numpy(array) for name, array in model.encode(typed).items()}
    similarity = cosine_similarity(dense.T.astype(np.float64))
    expected = item_based_scores(dense.astype(np.float64), similarity, k=9)
    np.testing.assert_allclose(network.scores(batch).numpy(), expected, atol=1e-5)


def test_shares_are_what_each_event_adds() -> None:
    model, network = observed(FILMS, FOUR, **PLAIN)
    shares = network.explain(encoded(model, [0, 2]), torch.tensor([[2, 1, 4, 0]]))[0]
    assert shares[0].tolist() == pytest.approx([1 / 1.5, 0.5 / 1.5], abs=1e-4)  # item 1: 1 of 0 and 1/2 of 2
    assert shares[1].tolist() == pytest.approx([0, 1], abs=1e-4)  # item 0: an item is no neighbour of its own
    assert shares[2].tolist() == pytest.approx([0.5, 0.5])  # item 3: nobody's neighbour


def test_its_neighbours_are_its_lists() -> None:
    _, network = observed(FILMS, FOUR, **PLAIN)
    tokens, similarities = network.neighbours()
    assert tokens.tolist() == [[2, 3, 0], [1, 3, 0], [1, 2, 0], [0, 0, 0]]
    assert similarities[2].tolist() == pytest.approx([0.5, 0.5, 0])


def test_a_large_catalogue_keeps_fewer_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honeyguide.models.item_knn_network._MOST_KEPT", 25)
    network: Any = ItemKnn(ItemKnnOptions(), DataSpec(items=10, repeats=False)).network()
    assert network.near.shape == (11, 2)


@pytest.mark.parametrize(("option", "value"), [("neighbours", 0), ("shrinkage", -1.0)])
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}; allowed"):
        ItemKnnOptions(**{option: value})
