import pytest
import torch
from small_models import PLAIN, small, weighty
from torch.nn import functional

from honeyguide.models.mlp import MlpOptions
from honeyguide.models.mlp_network import MlpNetwork

TOKENS = {"tokens": torch.tensor([[0, 3, 9]])}
CANDIDATES = torch.tensor([[2, 5, 4, 0]])


def test_a_user_is_the_weighed_sum_of_the_poolings() -> None:
    network = weighty(small("mlp", PLAIN, poolings=2))
    assert isinstance(network, MlpNetwork)
    by_lag = network.kernels.flip(1)  # the newest event has lag 0
    pooled = by_lag[:, :1] * network.table_in[9] + by_lag[:, 1:2] * network.table_in[3]  # [K, d]
    expected = functional.layer_norm((network.product * pooled).sum(0), (16,), network.norm.weight, network.norm.bias)
    torch.testing.assert_close(network.user(TOKENS)[0, :-1], expected)


def test_matrix_factorisation_is_an_inner_product_with_the_bias_in_it() -> None:
    network = weighty(small("mlp", PLAIN))
    user = network.user(TOKENS)
    torch.testing.assert_close(user @ network.items().T, user[:, :-1] @ network.table_out.T + network.bias)


def test_at_first_each_pooling_remembers_for_another_while() -> None:
    network = small("mlp", PLAIN, max_length=200).network()
    assert isinstance(network, MlpNetwork)
    weights = network.kernels.flip(1)
    falls = weights[:, 1] / weights[:, 0]
    assert falls[0] < 0.3  # the last item or two
    assert falls[-1] > 0.98  # a taste
    assert (falls.diff() > 0).all()


def test_the_ranker_is_the_sum_of_its_three_parts() -> None:
    network = weighty(small("mlp", PLAIN))
    tower = network.tower
    user = network.user(TOKENS)[:, :-1]
    vectors = network.table_out[CANDIDATES[:, :3] - 1]
    given = torch.tensor([[[3.0], [1.0], [2.5], [0.0]]])
    vectors = functional.layer_norm(vectors, (16,))
    product = user[:, None] * vectors
    inner = functional.gelu(tower.of_user(user)[:, None] + tower.of_candidate(vectors) + tower.of_product(product))
    perceptron = tower.outer(functional.gelu(tower.inner(inner))).squeeze(2)
    expected = tower.alpha * (given[:, :3, 0] - 3.0) + product @ tower.again + perceptron
    torch.testing.assert_close(network.rank(TOKENS, CANDIDATES, given)[:, :3], expected)


def test_padding_and_order_of_candidates_change_nothing() -> None:
    network, given = weighty(small("mlp", PLAIN)), torch.tensor([[[-4.0], [-6.0], [-5.0], [0.0]]])  # 0 is the padding's
    whole = network.rank(TOKENS, CANDIDATES, given)
    torch.testing.assert_close(network.rank(TOKENS, CANDIDATES[:, :3], given[:, :3]), whole[:, :3])
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(network.rank(TOKENS, CANDIDATES[:, order], given[:, order]), whole[:, order])


def test_only_the_tower_learns_from_lists() -> None:
    network = small("mlp", PLAIN).network()
    assert isinstance(network, MlpNetwork)
    assert network.ranking_module() is network.tower
    tokens = {**TOKENS, "targets": torch.tensor([[0, 4, 5]]), "earlier": torch.tensor([[0]])}
    network.loss(tokens).backward()
    assert all(parameter.grad is None for parameter in network.tower.parameters())
    assert network.kernels.grad is not None
    assert network.product.grad is not None


@pytest.mark.parametrize(("options", "message"), [({"hidden": 1}, "hidden is 1; allowed: 2 or more")])
def test_options_have_ranges(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MlpOptions(**options)
