"""Sums over lags against the same sums written out."""

import torch

from honeyguide.models.sequence.lag_sums import lag_sums, newest_lag_sum, start_kernel, weighed_by_lag


def test_every_position_is_the_sum_of_what_came_before_each_weighed_by_its_lag() -> None:
    torch.manual_seed(0)
    events, kernel = torch.randn(2, 4, 3), torch.randn(6, 3)  # the kernel is longer than the history
    found = lag_sums(events, kernel)
    for t in range(4):
        expected = sum(kernel[5 - lag] * events[:, t - lag] for lag in range(t + 1))
        torch.testing.assert_close(found[:, t], expected)
    torch.testing.assert_close(newest_lag_sum(events, kernel), found[:, -1])
    torch.testing.assert_close(weighed_by_lag(events, kernel).sum(1), found[:, -1])


def test_the_weights_begin_with_a_fall_from_fast_to_slow() -> None:
    kernel = start_kernel(50, 8)
    torch.testing.assert_close(kernel.square().sum(0), torch.ones(8))
    before = kernel[-2] / kernel[-1]
    assert before[0] < 0.3
    assert before[-1] > 0.95
    assert (before.diff() > 0).all()
