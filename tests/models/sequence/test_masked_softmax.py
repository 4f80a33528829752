"""`masked_softmax.py`: what is hidden counts for nothing, whatever the scores; nothing is denormal."""

import pytest
import torch

from honeyguide.models.sequence.masked_softmax import MASKED, masked_softmax


def test_usual_scores_are_those_of_torch() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 4, 7)
    hidden = torch.rand(3, 1, 7) < 0.4
    hidden[:, :, 0] = False
    expected = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    torch.testing.assert_close(masked_softmax(scores, hidden), expected)


@pytest.mark.parametrize("level", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_what_is_hidden_counts_for_nothing_at_any_level(level: float) -> None:
    scores = torch.tensor([[level, level + 1.0, level + 5000.0, level + MASKED]], requires_grad=True)
    share = masked_softmax(scores, torch.tensor([[False, False, True, False]]))
    torch.testing.assert_close(share[0, :2], torch.tensor([0.2689, 0.7311]), atol=1e-3, rtol=0.0)
    assert share[0, 2:].max() < 1e-20
    (gradient,) = torch.autograd.grad(share[0, 1], scores)
    assert gradient[0, 2:].tolist() == [0.0, 0.0]  # so nobody learns to get past it
    assert gradient[0, :2].abs().min() > 0.1


def test_neither_a_share_nor_its_product_with_a_gradient_is_denormal() -> None:
    scores = torch.linspace(-500.0, 500.0, 300).expand(2, 300)
    share = masked_softmax(scores, torch.arange(300) > 280)
    assert share.min() * 1e-12 >= torch.finfo(torch.float32).tiny


def test_a_row_with_nothing_but_hidden_scores_is_finite() -> None:
    share = masked_softmax(torch.randn(1, 5), torch.ones(1, 5, dtype=torch.bool))
    torch.testing.assert_close(share, torch.full((1, 5), 0.2))
