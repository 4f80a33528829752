"""Tests what the model is for, whatever its network; pytest runs Honeyguide's own checks beside it (see addopts)."""

import pytest
import torch
from honeyguide_template_model import TemplateModel, TemplateModelOptions

from honeyguide.sdk import DataSpec, HistoryBatch

ITEMS = 12


def tensors(model: TemplateModel, histories: list[list[int]]) -> dict[str, torch.Tensor]:
    """Encodes histories of catalogue rows as the platform does."""
    arrays = model.encode(HistoryBatch.from_lists(histories))
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def test_it_learns_that_the_next_item_follows() -> None:
    model = TemplateModel(TemplateModelOptions(dimension=16, dropout=0.0), DataSpec(items=ITEMS, repeats=True))
    torch.manual_seed(0)
    network = model.network()
    walks = [[(start + place) % ITEMS for place in range(6)] for start in range(ITEMS)]
    batch = tensors(model, [walk[:-1] for walk in walks])
    batch["targets"] = torch.tensor([walk[1:] for walk in walks]) + 1  # a token is row + 1
    batch["earlier"] = torch.zeros(ITEMS, 0, dtype=torch.int64)  # no event lies before the first position
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        network.loss(batch).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        scores = network.user(tensors(model, [[4, 5, 6], [11]])) @ network.items().T
    assert scores.argmax(1).tolist() == [7, 0]


def test_an_option_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match="max_length is 0; allowed: 1 or more"):
        TemplateModelOptions(max_length=0)
