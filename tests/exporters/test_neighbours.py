"""What a network says of neighbours becomes a table, or is refused with what is wrong."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny_scores import TinyScores

from honeyguide.exporters.neighbours import item_neighbours
from honeyguide.sdk import DataSpec
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.manifest import NEIGHBOUR

MODEL = TinyScores(TinyScores.Config(), DataSpec(items=3, repeats=False))


def network(tokens: Any, scores: Any) -> Any:
    made = torch.nn.Module()
    made.neighbours = lambda: (torch.tensor(tokens), torch.tensor(scores))  # type: ignore[assignment]  # any callable
    return made


def test_tokens_become_rows_and_what_is_missing_minus_one() -> None:
    table = item_neighbours(network([[2, 3], [3, 0], [0, 0]], [[0.5, 0.2], [0.1, 0.0], [0.0, 0.0]]), MODEL)
    assert table.dtype == NEIGHBOUR
    assert table["row"].tolist() == [[1, 2], [2, -1], [-1, -1]]
    np.testing.assert_allclose(table["score"], [[0.5, 0.2], [0.1, -np.inf], [-np.inf, -np.inf]])


@pytest.mark.parametrize(
    ("tokens", "scores", "problem"),
    [
        ([[2], [3]], [[1.0], [1.0]], r"int64 \(2, 1\).*both \(3, n\)"),
        ([[2], [3], [4]], [[1.0]] * 3, "tokens from 2 to 4; allowed: 0 to 3"),
        ([[2], [2], [1]], [[1.0]] * 3, "an item among its own neighbours"),
        ([[2, 2], [1, 3], [1, 2]], [[1.0, 0.5]] * 3, "a neighbour twice"),
        ([[2, 3], [1, 3], [1, 2]], [[0.5, 1.0]] * 3, "not in order"),
        ([[0, 3], [1, 3], [1, 2]], [[1.0, 0.5]] * 3, "not in order"),
        ([[2], [3], [1]], [[float("nan")]] * 3, "not finite"),
    ],
)
def test_what_is_no_list_of_neighbours_is_refused(tokens: Any, scores: Any, problem: str) -> None:
    with pytest.raises(ExportError, match=problem):
        item_neighbours(network(tokens, scores), MODEL)
