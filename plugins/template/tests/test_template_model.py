"""Tests what is special to this model; pytest runs Honeyguide's own checks beside it (see addopts)."""

import pytest
import torch
from honeyguide_template_model import Config, TemplateModel

from honeyguide.sdk import DataSpec, HistoryBatch


def user(gate: float, history: list[int]) -> torch.Tensor:
    """Returns the user vector where item i is the unit vector i."""
    model = TemplateModel(Config(dimension=4), DataSpec(items=4, repeats=True))
    network = model.network().eval()
    with torch.no_grad():
        network.before.weight[1:] = torch.eye(4)
        network.gate.fill_(gate)
        arrays = model.encode(HistoryBatch.from_lists([history]))
        return network.user({name: torch.from_numpy(array) for name, array in arrays.items()})[0]


def test_an_open_gate_lets_the_last_item_through() -> None:
    torch.testing.assert_close(user(100.0, [0, 1, 3]), torch.tensor([0.0, 0.0, 0.0, 1.0]))


def test_a_closed_gate_leaves_the_mean_of_the_history() -> None:
    torch.testing.assert_close(user(-100.0, [0, 3, 3, 3]), torch.tensor([0.25, 0.0, 0.0, 0.75]))


def test_an_option_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match="dimension is 0; allowed: 1 or more"):
        Config(dimension=0)
