"""Lets each candidate attend to the newest events, for what speaks for it there: a ranker's features.

Zhou et al., "Deep interest network" (KDD 2018). The retriever's item vectors are taken as they are, and only two small
projections are learnt: tables of its own learnt from the lists alone made the ranker worse after one epoch. Its heads
are its several interests; a mixture of logits beside them (4 pooled events × 4 item vectors, Zhai et al., "Revisiting
neural retrieval on accelerators", KDD 2023) gained nothing on MovieLens-1M's validation users.

B users, L positions, n candidates, A attended events, N items, d dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TargetAttention"]

_MASKED = -30.0
_WIDTH = 16
_FALLS = (2.0, 5.0, 15.0, 50.0)  # events in which each head's weight starts to fall to 1/e


class TargetAttention(nn.Module):
    """Attention from candidates to events, without values: how well they fit is the answer."""

    heads = len(_FALLS)

    def __init__(self, width: int, attended: int) -> None:
        super().__init__()
        self.attended = attended
        self.query = nn.Linear(width, self.heads * _WIDTH, bias=False)
        self.key = nn.Linear(width, self.heads * _WIDTH, bias=False)
        places = torch.arange(attended - 1, -1, -1.0)
        self.recency = nn.Parameter(-places / torch.tensor(_FALLS)[:, None])  # [heads, A]

    def forward(self, tokens: Tensor, candidates: Tensor, events: Tensor, items: Tensor) -> Tensor:
        """Returns [B, n, heads]: the logarithm of how well the events fit, each weighed by its recency.

        Args:
            tokens: [B, L] of the history.
            candidates: [B, n] tokens.
            events: [N + 1, d] vectors by token, for history.
            items: [N, d] vectors by row, for candidates.
        """
        newest = functional.pad(tokens, (self.attended, 0))[:, -self.attended :]  # [B, A]
        vectors = functional.pad(items, (0, 0, 1, 0))[candidates]  # [B, n, d]
        query = self.query(vectors).unflatten(2, (self.heads, _WIDTH)).transpose(1, 2)
        key = self.key(events[newest]).unflatten(2, (self.heads, _WIDTH)).transpose(1, 2)
        fit = query @ key.transpose(2, 3) / _WIDTH**0.5 + self.recency[:, None, :]  # [B, heads, n, A]
        fits: Tensor = fit.masked_fill((newest == 0)[:, None, None, :], _MASKED).logsumexp(3).transpose(1, 2)
        return fits
