import pytest
import torch
from torch import Tensor
from torch.nn import functional

from honeyguide.models.softmax import Seen, full_softmax_loss


def case(positions: int = 3000, items: int = 50, width: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    users, table, bias = torch.randn(positions, width), torch.randn(items, width), torch.randn(items)
    return users.requires_grad_(), table.requires_grad_(), bias.requires_grad_(), torch.randint(items, (positions,))


def gradients(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(3.0 * loss, leaves)


def test_value_and_gradients_are_those_of_torch() -> None:
    users, table, bias, targets = case()
    expected = functional.cross_entropy(users @ table.T + bias, targets)
    loss = full_softmax_loss(users, table, bias, targets, half=False)
    torch.testing.assert_close(loss, expected)
    leaves = (users, table, bias)
    for got, wanted in zip(gradients(loss, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-7)


def test_bfloat16_is_close() -> None:
    users, table, bias, targets = case()
    loss = full_softmax_loss(users, table, bias, targets, half=True)
    expected = full_softmax_loss(users, table, bias, targets, half=False)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-2, atol=1e-3)
    (got,), (wanted,) = gradients(loss, table), gradients(expected, table)
    torch.testing.assert_close(got, wanted, rtol=0.1, atol=1e-3)


def test_the_device_decides_where_nobody_does() -> None:
    users, table, bias, targets = case(100)
    loss = full_softmax_loss(users, table, bias, targets)
    torch.testing.assert_close(loss, full_softmax_loss(users, table, bias, targets, half=False), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("width", [1, 7])
def test_what_was_seen_is_masked_but_never_the_target(width: int) -> None:
    torch.manual_seed(1)
    items = 20
    tokens = torch.randint(0, items + 1, (5, width))
    earlier = torch.randint(0, items + 1, (5, 3))
    targets = torch.randint(1, items + 1, (5, width))
    chosen = tokens > 0
    users = torch.randn(int(chosen.sum()), 4)
    table, bias = torch.randn(items, 4), torch.randn(items)
    seen = Seen.of(tokens, earlier, items, chosen)
    scores = users @ table.T + bias
    for place, (row, column) in enumerate(chosen.nonzero().tolist()):
        known = set(earlier[row].tolist()) | set(tokens[row, : column + 1].tolist())
        for token in known - {0, int(targets[row, column])}:
            scores[place, token - 1] = float("-inf")
    expected = functional.cross_entropy(scores, targets[chosen] - 1)
    torch.testing.assert_close(full_softmax_loss(users, table, bias, targets[chosen] - 1, seen, half=False), expected)
