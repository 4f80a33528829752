"""Orders what a model of neighbours says nothing of by popularity, far below whatever it says something of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from honeyguide.sdk import HistoryBatch

__all__ = ["Popularity"]

_LARGEST = 1e-6
"""Of the most popular item: below any similarity that counts, so that it decides between equal scores alone."""


class Popularity(nn.Module):
    """Popularity of the items, from 0 to 1e-6."""

    share: Tensor

    def __init__(self, items: int) -> None:
        """Begins with zeros."""
        super().__init__()
        self.register_buffer("share", torch.zeros(items))

    def observe(self, histories: HistoryBatch) -> None:
        """Counts the events of each item."""
        counts = np.bincount(histories.items, minlength=len(self.share))
        self.share.copy_(torch.from_numpy(counts * (_LARGEST / max(int(counts.max(initial=0)), 1))))

    def forward(self, scores: Tensor) -> Tensor:
        """Returns the [B, N] scores with it."""
        return scores + self.share
