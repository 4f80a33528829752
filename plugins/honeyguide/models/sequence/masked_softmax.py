"""Computes attention's softmax with a mask that no score gets past, in numbers that are fast to compute with."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["MASKED", "masked_softmax"]

MASKED = -3e4
"""A score that is masked, or what is added to one: below all others, and twice as much still fits 16 bits."""

_LOWEST = -50.0  # e^−50 counts for nothing, yet neither it nor its product with a gradient is denormal


def masked_softmax(scores: Tensor, hidden: Tensor) -> Tensor:
    """Returns the softmax over the last axis; what is hidden, or `MASKED` already, counts for nothing.

    Scores are taken from the best of their row, so that the mask holds whatever their scale: a mask that is a number
    below usual scores is learnt to be got past, where what it hides is the answer. What lies far below the best is cut
    off at e^−50, as smaller numbers are denormal, in the softmax of ONNX Runtime (which takes seven times as long then)
    or in products with gradients (twenty times).

    Args:
        scores: [..., L].
        hidden: what broadcasts to it, True where a score does not count.
    """
    scores = scores.masked_fill(hidden, MASKED)
    best = scores.amax(-1, keepdim=True).detach()
    return torch.softmax((scores - best).clamp_min(_LOWEST), -1)
