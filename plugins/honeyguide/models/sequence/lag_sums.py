"""Sums a history's vectors, weighed by lag and dimension: some dimensions hold the last events, some a taste.

B users, L positions, K lags, d dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["lag_sums", "newest_lag_sum", "start_kernel", "weighed_by_lag"]

_FASTEST, _SLOWEST = 0.7, 60.0  # events in which a dimension's weight starts to fall to 1/e, the least and the most


def start_kernel(lags: int, width: int) -> Tensor:
    """Returns the [K, d] weights to start from, the oldest lag first, as the columns of tokens are; norm 1 each."""
    fall = torch.logspace(math.log10(_FASTEST), math.log10(_SLOWEST), width)
    kernel = torch.exp(-torch.arange(lags - 1, -1, -1)[:, None] / fall)
    return kernel / kernel.square().sum(0).sqrt()


def lag_sums(events: Tensor, kernel: Tensor) -> Tensor:
    """Returns [B, L, d]: the sums up to each position, all lags at once by a triangular matrix for each dimension."""
    length = events.shape[1]
    newest = kernel[len(kernel) - length :]  # [L, d]
    # Window s of the kernel followed by zeros holds the weights of position L − 1 − s.
    weights = functional.pad(newest.T, (0, length - 1)).unfold(1, length, 1)  # [d, L, L]
    sums = torch.bmm(weights, events.permute(2, 1, 0))  # [d, L, B]
    return sums.flip(1).permute(2, 1, 0)


def newest_lag_sum(events: Tensor, kernel: Tensor) -> Tensor:
    """Returns [B, d]: the sum at the last position alone."""
    return weighed_by_lag(events, kernel).sum(1)


def weighed_by_lag(events: Tensor, kernel: Tensor) -> Tensor:
    """Returns [B, L, d]: what each event adds to the last position."""
    return events * kernel[len(kernel) - events.shape[1] :]
