from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import PLAIN, RICH, SPECS, histories, small, weighty
from torch import Tensor

from honeyguide.models.gru_network import GruNetwork
from honeyguide.sdk import DataSpec
from honeyguide.sdk.model import last_event
from honeyguide.training.scoring.device import tensors


@pytest.mark.parametrize("data", SPECS.values(), ids=SPECS.keys())
def test_stepping_equals_encoding_again(data: DataSpec) -> None:
    model = small("gru", data)
    network = weighty(model)
    whole = histories(data, [[3, 1, 4, 1, 5, 9, 2, 6], [11, 0, 7, 7, 2, 8, 1, 4]])
    starts = whole.offsets[:-1]
    state = network.state(tensors(model, whole.cut(starts, starts + 1)))
    for length in range(2, 9):
        known = whole.cut(starts, starts + length)
        event = {name: torch.from_numpy(array) for name, array in last_event(model, known).items()}
        assert event["tokens"].shape == (2, 1)
        state = network.step(state, event)
        again = tensors(model, known)
        torch.testing.assert_close(state, network.state(again), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(network.vector(state), network.user(again), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("column", ["times_ms", "event_types", "features"])
def test_a_step_reads_what_is_known_of_the_event(column: str) -> None:
    model = small("gru", RICH)
    network = weighty(model)
    one = histories(RICH, [[3, 1, 4]])
    assert one.times_ms is not None
    assert one.event_types is not None
    others = {
        "times_ms": one.times_ms + np.array([0, 0, 86_400_000]),
        "event_types": (one.event_types + 1) % 3,
        "features": {name: values + 1 for name, values in one.features.items()},
    }
    changed = replace(one, **{column: others[column]})
    state = torch.zeros(1, 16)
    after = [
        network.step(state, {name: torch.from_numpy(array) for name, array in last_event(model, batch).items()})
        for batch in (one, changed)
    ]
    assert (after[0] - after[1]).abs().max() > 1e-3


def test_the_gates_are_those_of_the_formula() -> None:
    network = weighty(small("gru", PLAIN))
    assert isinstance(network, GruNetwork)
    batch = {"tokens": torch.tensor([[4]])}
    before = torch.randn(1, 16)
    x = torch.cat([network.events(batch)[:, 0], torch.ones(1, 1)], 1)
    inward = (x @ network.gru.get_parameter("weight_ih_l0").T).chunk(3, 1)
    within = (before @ network.gru.get_parameter("weight_hh_l0").T).chunk(3, 1)
    reset, update = (torch.sigmoid(inward[i] + within[i]) for i in (0, 1))
    expected: Tensor = update * before + (1 - update) * torch.tanh(inward[2] + reset * within[2])
    torch.testing.assert_close(network.step(before, batch), expected)


def test_at_first_cells_remember_for_one_event_or_for_many() -> None:
    torch.manual_seed(0)
    network = small("gru", PLAIN).network()
    assert isinstance(network, GruNetwork)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0"):  # all but what the gates say of the constant 1
            network.gru.get_parameter(name)[:, :16] = 0.0
            network.gru.get_parameter(name)[32:] = 0.0
        kept = network.step(torch.ones(1, 16), {"tokens": torch.tensor([[4]])})[0]
    assert kept[0] < 0.3
    assert kept[-1] > 0.98
    assert (kept.diff() > 0).all()
