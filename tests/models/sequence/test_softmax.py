import pytest
import torch
from torch import Tensor
from torch.nn import functional

from honeyguide.models.sequence.softmax import SeenItems, full_softmax_loss, sampled_softmax_loss


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
    seen = SeenItems.of(tokens, earlier, chosen)
    scores = users @ table.T + bias
    for place, (row, column) in enumerate(chosen.nonzero().tolist()):
        known = set(earlier[row].tolist()) | set(tokens[row, : column + 1].tolist())
        for token in known - {0, int(targets[row, column])}:
            scores[place, token - 1] = float("-inf")
    expected = functional.cross_entropy(scores, targets[chosen] - 1)
    torch.testing.assert_close(full_softmax_loss(users, table, bias, targets[chosen] - 1, seen, half=False), expected)


def test_weights_count_as_by_hand() -> None:
    users, table, bias, targets = case()
    weights = torch.rand(len(targets)) * 2
    losses = functional.cross_entropy(users @ table.T + bias, targets, reduction="none")
    expected = (losses * weights).mean()
    loss = full_softmax_loss(users, table, bias, targets, weights=weights, half=False)
    torch.testing.assert_close(loss, expected)
    leaves = (users, table, bias)
    for got, wanted in zip(gradients(loss, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-7)


def test_weights_of_one_change_nothing() -> None:
    users, table, bias, targets = case(100)
    plain = full_softmax_loss(users, table, bias, targets, half=False)
    torch.testing.assert_close(
        full_softmax_loss(users, table, bias, targets, weights=torch.ones(100), half=False), plain
    )


def test_the_sampled_softmax_is_as_by_hand() -> None:
    users, table, _, targets = case(6, items=5)
    drawn, expected = torch.tensor([0, 3, 3, 1]), torch.tensor([0.5, 2.0, 2.0, 0.25])
    losses = []
    for user, target in zip(users, targets.tolist(), strict=True):
        others = [
            torch.exp(user @ table[item]) / often
            for item, often in zip(drawn.tolist(), expected, strict=True)
            if item != target
        ]
        own = torch.exp(user @ table[target])
        losses.append(-torch.log(own / (own + sum(others))))
    by_hand, weights = torch.stack(losses), torch.rand(6) * 2
    torch.testing.assert_close(sampled_softmax_loss(users, table, targets, drawn, expected), by_hand.mean())
    weighed = sampled_softmax_loss(users, table, targets, drawn, expected, weights)
    torch.testing.assert_close(weighed, (by_hand * weights).mean())


def test_the_sampled_mass_is_that_of_the_whole_catalogue_on_average() -> None:
    torch.manual_seed(2)
    user, table, target = torch.randn(1, 8), torch.randn(20, 8) * 0.5, torch.tensor([3])
    chance = torch.rand(20) + 0.1
    chance /= chance.sum()
    draws = torch.multinomial(chance, 8 * 4000, replacement=True).view(4000, 8)
    # exp(loss) is the softmax's mass over the target's own part, and linear in what the draws add.
    masses = [sampled_softmax_loss(user, table, target, drawn, 8 * chance[drawn]).exp() for drawn in draws]
    sampled = torch.stack(masses)
    whole = functional.cross_entropy(user @ table.T, target).exp()
    error = float(sampled.std()) / len(draws) ** 0.5
    assert error < 0.02 * whole
    assert abs(float(sampled.mean() - whole)) < 4 * error


def test_many_draws_come_to_the_full_softmax_with_its_gradients() -> None:
    users, table, _, targets = case(10, items=20)
    chance = torch.linspace(1, 3, 20) / 40
    drawn = torch.multinomial(chance, 400_000, replacement=True)
    sampled = sampled_softmax_loss(users, table, targets, drawn, len(drawn) * chance[drawn])
    full = functional.cross_entropy(users @ table.T, targets)
    torch.testing.assert_close(sampled, full, rtol=0.01, atol=0.0)
    for got, wanted in zip(gradients(sampled, users, table), gradients(full, users, table), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0.05, atol=0.01)
