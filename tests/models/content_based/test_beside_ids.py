"""Models of item ids that also know what the items are: the option ``items``."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from small_models import MODELS, PLAIN, small
from tiny_encoder import use_tiny_encoder

from honeyguide.sdk import HistoryBatch, ItemColumn, ItemTable

ITEMS = PLAIN.items
BESIDE = sorted(name for name, model in MODELS.items() if "items" in model.Config.__dataclass_fields__)
DATA = dataclasses.replace(PLAIN, item_columns=(ItemColumn("price", "number"),))
TABLE = ItemTable.from_lists(
    list(map(str, range(ITEMS))),
    titles=[f"thing {row % 3}" for row in range(ITEMS)],
    categories=[[f"kind {row % 2}"] for row in range(ITEMS)],
    numbers={"price": [float(row) for row in range(ITEMS)]},
)


@pytest.fixture(params=BESIDE)
def made(request, monkeypatch) -> Any:
    use_tiny_encoder(monkeypatch)
    torch.manual_seed(0)
    model = small(request.param, DATA, items=("text", "content"))
    network: Any = model.network().eval()
    network.observe(HistoryBatch.from_lists([[0, 1, 2], [3, 4]]), TABLE)
    return model, network


def test_an_item_is_what_is_known_of_it_and_a_part_of_its_own(made):
    model, network = made
    arrays = {name: torch.from_numpy(array) for name, array in model.encode_items(TABLE).items()}
    own = dict(network.named_parameters())["table_out" if model.name == "cf" else "head.table"]
    placed = network.place(arrays)
    torch.testing.assert_close(network.items()[:, :-1], placed[:, :-1] + own)
    torch.testing.assert_close(placed[:, -1], network.items()[:, -1].mean().expand(ITEMS))


def test_what_is_known_reaches_users_and_travels_with_the_weights(made):
    model, network = made
    batch = {"tokens": torch.tensor([[1, 2, 3], [4, 5, 6]])}
    before = network.user(batch)
    other = model.network().eval()
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other.user(batch), before)
    other.observe(HistoryBatch.from_lists([[0, 1, 2], [3, 4]]), ItemTable.of_rows(ITEMS))
    assert not torch.allclose(other.user(batch), before)


def test_its_last_bias_and_table_may_be_shared(monkeypatch):
    use_tiny_encoder(monkeypatch)
    model = small("gru", DATA, items=("text",), tied=True)
    network: Any = model.network()
    network.observe(HistoryBatch.from_lists([[0, 1]]), TABLE)
    placed = network.place({"text": torch.from_numpy(model.encode_items(TABLE)["text"])})
    assert np.isfinite(placed.detach().numpy()).all()
    torch.testing.assert_close(network.head.vectors(), network.events.vectors()[1:])


@pytest.mark.parametrize("name", BESIDE)
def test_without_the_option_nothing_is_placed(name):
    model = small(name, DATA)
    assert model.item_inputs() == ()
    with pytest.raises(ValueError, match="nothing is known of the items: train with --option items=text or content"):
        model.network().place({})  # type: ignore[operator]  # of the network
