"""What a network learns that knows items by their content alone, and where it places new ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import walks
from tiny_encoder import use_tiny_encoder

from honeyguide.models.content import Content
from honeyguide.models.content_based.pooled_network import PooledNetwork
from honeyguide.models.text import Text
from honeyguide.sdk import DataSpec, ItemColumn, ItemTable
from honeyguide.sdk.config import config_from
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.retriever import fit

ITEMS = 12
DATA = DataSpec(items=ITEMS, repeats=True, item_columns=(ItemColumn("colour", "text"),))
COLOURS = ["even" if row % 2 == 0 else "odd" for row in range(ITEMS)]
TABLE = ItemTable.from_lists(
    list(map(str, range(ITEMS))), titles=[f"{colour} thing" for colour in COLOURS], texts={"colour": COLOURS}
)


@pytest.mark.parametrize("cls", [Text, Content])
def test_it_learns_what_goes_together_and_places_new_items_with_their_like(monkeypatch, cls):
    use_tiny_encoder(monkeypatch)
    torch.manual_seed(0)
    model = cls(config_from(cls.Config, {"dimension": 16, "max_length": 8, "neighbours": 5}), DATA)
    network = model.network()
    assert isinstance(network, PooledNetwork)
    options = FitOptions.for_model(cls, {"epochs": 6, "lr": 0.02, "min_batches": 20})
    walked = walks(1, 80, ITEMS)  # along the even or along the odd items
    fit(model, network, walked.histories, walks(2, 40, ITEMS), options, items=TABLE)
    users = network.user({"tokens": torch.tensor([[1, 3, 5], [2, 4, 6]])})  # rows 0, 2, 4 are even
    scores = (users @ network.items().T).detach().numpy()
    assert scores[0, 0::2].min() > scores[0, 1::2].max()
    assert scores[1, 1::2].min() > scores[1, 0::2].max()
    new = ItemTable.from_lists(["x", "y"], titles=["even thing", "odd thing"], texts={"colour": ["even", "odd"]})
    placed = network.place({name: torch.from_numpy(a) for name, a in model.encode_items(new).items()})
    assert placed.shape == (2, network.items().shape[1])
    fits = (users @ placed.T).detach().numpy()
    assert np.argmax(fits, 1).tolist() == [0, 1]
