"""Turns what events contributed to a score into shares, which is how a network explains a candidate."""

from __future__ import annotations

from torch import Tensor

__all__ = ["event_shares"]


def event_shares(contributions: Tensor, tokens: Tensor) -> Tensor:
    """Returns [B, n, L] shares that sum to 1 over the real events.

    What spoke against a candidate counts as 0. Where all did, the shares are equal.

    Args:
        contributions: [B, n, L] what each event added to each candidate's score.
        tokens: [B, L], 0 is padding; every user has an event.
    """
    real = (tokens > 0).to(contributions.dtype)[:, None, :]
    helpful = (contributions.clamp_min(0.0) + 1e-6) * real
    return helpful / helpful.sum(2, keepdim=True)
