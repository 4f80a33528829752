from typing import Any

import pytest
import torch
from small_models import EXPLAIN, MODELS, PLAIN, SPECS, histories, small, weighty
from torch import Tensor
from torch.nn import functional

from honeyguide.models.attention_lstm_network import AttentionLstmNetwork
from honeyguide.models.cf_network import CollaborativeNetwork
from honeyguide.models.mlp_network import MlpNetwork
from honeyguide.models.transformer_network import TransformerNetwork
from honeyguide.sdk import DataSpec
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.training.scoring.device import tensors


def test_every_model_that_explains_is_here() -> None:
    assert set(EXPLAIN) == {name for name in MODELS if capabilities_of(small(name, PLAIN).network()).explains}


@pytest.mark.parametrize("name", EXPLAIN)
@pytest.mark.parametrize("data", SPECS.values(), ids=SPECS.keys())
def test_shares_sum_to_one_over_the_events(name: str, data: DataSpec) -> None:
    model = small(name, data)
    network = weighty(model)
    batch = tensors(model, histories(data, [[3], [5, 6, 7, 8, 9, 10, 11, 0, 1], [2, 7, 1, 8]]))
    candidates = torch.tensor([[1, 4, 7, 12], [2, 2, 3, 0], [5, 6, 7, 8]])
    found = network.explain(batch, candidates)
    assert found.shape == (3, 4, 8)
    assert (found >= 0).all()
    assert (found * (batch["tokens"] == 0)[:, None] == 0).all()
    torch.testing.assert_close(found.sum(2), torch.ones(3, 4))


def one_event_each(network: Any) -> Tensor:
    """Sets weights by hand so that each event says what it is and nothing else; returns what, [N, d]."""
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    items = torch.randn(12, 16, generator=torch.Generator().manual_seed(3))
    said = functional.layer_norm(items, (16,))
    if isinstance(network, CollaborativeNetwork | MlpNetwork):
        network.table_in[1:] = items
        if isinstance(network, MlpNetwork):
            network.kernels.fill_(1.0)
            network.product.fill_(1.0)
        else:
            network.kernel.fill_(1.0)
        network.norm.weight.fill_(1.0)
        return items
    network.head.norm.weight.fill_(1.0)
    network.events.table[1:] = items
    network.events.norm.weight.fill_(1.0)
    if isinstance(network, AttentionLstmNetwork):
        gates = network.lstm.get_parameter("weight_ih_l0")  # [4 H, d + 1]: input, forget, cell, output
        gates[:16, -1], gates[16:32, -1], gates[48:, -1] = 50.0, -50.0, 50.0
        gates[32:48, :16] = torch.eye(16)
        network.value.weight.copy_(torch.eye(16))
        network.gate.bias.fill_(-50.0)
        return torch.tanh(torch.tanh(said))
    assert isinstance(network, TransformerNetwork)
    network.final.before_attention.weight.fill_(1.0)
    network.final.key_value.weight[16:] = torch.eye(16)
    network.final.output.weight.copy_(torch.eye(16))
    return functional.layer_norm(said, (16,))


@pytest.mark.parametrize("name", EXPLAIN)
def test_the_event_that_carries_a_candidate_has_the_largest_share(name: str) -> None:
    network = small(name, PLAIN, **({"blocks": 1} if name == "transformer" else {})).network().eval()
    with torch.no_grad():
        said = one_event_each(network)
        own = isinstance(network, CollaborativeNetwork | MlpNetwork)
        table = network.table_out if own else network.head.table  # type: ignore[union-attr]  # nn.Module types every attribute Tensor | Module
        apart = torch.linalg.pinv(said)  # column i is met by what item i says, and by no other
        table[:4] = apart[:, [3, 9, 5, 2]].T  # type: ignore[index,operator,union-attr]  # as above
    tokens = torch.tensor([[0, 0, 4, 10, 6, 3]])  # items 3, 9, 5, 2
    explained = network.explain({"tokens": tokens}, torch.tensor([[1, 2, 3, 4]]))  # type: ignore[operator]  # as above
    assert explained[0].argmax(1).tolist() == [2, 3, 4, 5]
    assert explained[0].amax(1).min() > (0.6 if name == "transformer" else 0.99)


def test_short_term_interest_is_the_newest_events() -> None:
    network = weighty(small("attention_lstm", PLAIN))
    assert isinstance(network, AttentionLstmNetwork)
    batch = {"tokens": torch.tensor([[4, 10, 6]])}
    with torch.no_grad():
        network.gate.bias.fill_(1e4)  # the short term alone
        network.head.norm.weight.fill_(1.0)
        assert network.head.table is not None
        network.head.table[7] = network.short(network._states(batch))[0, -1]
        found = network.explain(batch, torch.tensor([[8]]))
    assert found[0, 0, -1] > 0.99


def test_an_older_event_weighs_less_by_its_lag() -> None:
    network = small("cf", PLAIN).network().eval()
    assert isinstance(network, CollaborativeNetwork)
    with torch.no_grad():
        network.kernel.copy_(torch.arange(1.0, 9.0)[:, None].expand(8, 16))  # the newest weighs 8
        network.table_in.fill_(1.0)
        network.table_out.fill_(1.0)
    found = network.explain({"tokens": torch.tensor([[1, 2, 3]])}, torch.tensor([[4]]))
    torch.testing.assert_close(found[0, 0], torch.tensor([6.0, 7.0, 8.0]) / 21, rtol=0, atol=1e-6)
