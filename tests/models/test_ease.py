"""The closed form, by hand and against its definition."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide.models.ease import Ease, EaseOptions
from honeyguide.models.ease_network import EaseNetwork
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable
from honeyguide.sdk.errors import ConfigError


def observed(lists: list[list[int]], items: int, **options: Any) -> tuple[Ease, Any]:
    model = Ease(EaseOptions(**options), DataSpec(items=items, repeats=False))
    network: Any = model.network()
    assert isinstance(network, EaseNetwork)
    network.observe(HistoryBatch.from_lists(lists), ItemTable.of_rows(items))
    return model, network.eval()


def encoded(model: Ease, history: list[int]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in model.encode(HistoryBatch.from_lists([history])).items()}


def test_two_items_by_hand() -> None:
    # Two met both, one met 0 alone: XᵀX + λI = [[4, 2], [2, 3]] with λ = 1, its inverse [[3, −2], [−2, 4]] / 8.
    model, network = observed([[0, 1], [1, 0], [0]], 2, penalty=1.0, recency=1.0)
    assert network.weights.tolist() == [[0, 0], pytest.approx([0, 2 / 4]), pytest.approx([2 / 3, 0])]
    assert network.scores(encoded(model, [0])).tolist() == [pytest.approx([0, 0.5])]
    tokens, weights = network.neighbours()
    assert tokens.tolist() == [[2], [1]]
    assert weights.flatten().tolist() == pytest.approx([0.5, 2 / 3])


def test_each_column_is_the_ridge_regression_on_all_others() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((40, 8)) < 0.4).astype(np.float64)
    _, network = observed([np.flatnonzero(own).tolist() for own in dense], 8, penalty=3.0)
    for item in range(8):
        others = np.delete(np.arange(8), item)
        x = dense[:, others]
        expected = np.linalg.solve(x.T @ x + 3.0 * np.eye(7), x.T @ dense[:, item])
        np.testing.assert_allclose(network.weights[1:].numpy()[others, item], expected, atol=1e-5)


def test_shares_are_what_speaks_for_a_candidate() -> None:
    model, network = observed([[0, 1], [1, 0], [0]], 2, penalty=1.0, recency=1.0)
    shares = network.explain(encoded(model, [0, 1]), torch.tensor([[1, 2, 0]]))[0]
    assert shares[0].tolist() == pytest.approx([0, 1], abs=1e-4)
    assert shares[1].tolist() == pytest.approx([1, 0], abs=1e-4)


def test_too_large_a_catalogue_and_no_penalty_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"20,001 items; allowed: at most 20,000; take item_knn"):
        Ease(EaseOptions(), DataSpec(items=20_001, repeats=False))
    with pytest.raises(ValueError, match=r"penalty is 0\.0; allowed: above 0"):
        EaseOptions(penalty=0.0)


@pytest.mark.parametrize("penalty", [1e-30, 1e308])
def test_a_penalty_that_numbers_cannot_bear_is_named(penalty: float) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"penalty is {penalty}: no weights can be computed")):
        observed([[0, 1, 2, 3]] * 7, 4, penalty=penalty)
