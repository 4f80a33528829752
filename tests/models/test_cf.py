import torch
from small_models import PLAIN, small, weighty
from torch.nn import functional

from honeyguide.models.cf_network import CollaborativeNetwork


def test_a_user_is_the_sum_of_the_items_each_weighed_by_its_lag() -> None:
    network = weighty(small("cf", PLAIN))
    assert isinstance(network, CollaborativeNetwork)
    user = network.user({"tokens": torch.tensor([[0, 3, 9]])})
    weights = network.kernel.flip(0)  # by lag: the newest event has lag 0
    taste = weights[0] * network.table_in[9] + weights[1] * network.table_in[3]
    torch.testing.assert_close(
        user[0, :-1], functional.layer_norm(taste, (16,), network.norm.weight, network.norm.bias)
    )


def test_a_score_is_the_inner_product_with_the_bias_in_it() -> None:
    network = weighty(small("cf", PLAIN))
    user = network.user({"tokens": torch.tensor([[3, 9]])})
    expected = user[:, :-1] @ network.table_out.T + network.bias
    torch.testing.assert_close(user @ network.items().T, expected)


def test_at_first_each_dimension_remembers_for_another_while() -> None:
    network = small("cf", PLAIN, max_length=200).network()
    assert isinstance(network, CollaborativeNetwork)
    weights = network.kernel.flip(0)  # [lags, dimensions]
    falls = weights[1] / weights[0]
    assert falls[0] < 0.3  # the last item or two
    assert falls[-1] > 0.98  # a taste
    assert (falls.diff() > 0).all()
    torch.testing.assert_close(weights.square().sum(0), torch.ones(16))
