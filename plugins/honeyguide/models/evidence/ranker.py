"""Ranks candidates by what retrieval said, by what followed the newest events elsewhere, and by target attention.

    score(c) = Σ_s α_s · logit_s(c) + w · features(c) + MLP(features(c))

w and the perceptron's last layer start at 0 and each α at 1 / S, so that ranking begins as retrieval. The features are
the evidence of `honeyguide.models.evidence.counts` for each of the newest events; the candidate's log popularity and,
where the data has times, its trend and how long ago it was last met; the history's length; each source's logit less the
list's best, and log place; and, where a model has one, its target attention (`evidence.target_attention`).

B users, L positions, n candidates, S sources, H newest events, T tables of evidence, M neighbours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.evidence.counts import TABLES, TRENDS, item_evidence, item_trends
from honeyguide.models.evidence.target_attention import TargetAttention
from honeyguide.models.sequence.options import RankerOptions
from honeyguide.sdk import DataSpec, HistoryBatch

__all__ = ["EvidenceRanker"]

_NEIGHBOURS = 10_000_000  # of all items together: the tables take 24 bytes for each
_LOWEST = -30.0  # a logit this far below the best cannot win; what is masked comes with much less


class EvidenceRanker(nn.Module):
    """Scores of candidates; all inputs but the parameters are counts and the retrievers' scores."""

    neighbours: Tensor
    lifts: Tensor
    log_popularity: Tensor
    trends: Tensor

    def __init__(
        self, options: RankerOptions, data: DataSpec, sources: int = 1, attention: TargetAttention | None = None
    ) -> None:
        super().__init__()
        self.attention = attention
        self.events, self.items = options.events, (items := data.items)
        width = min(options.neighbours, items, max(_NEIGHBOURS // items, 1))
        self.register_buffer("neighbours", torch.zeros(items + 1, width, dtype=torch.int32))  # tokens, by token
        self.register_buffer("lifts", torch.zeros(items + 1, width, len(TABLES)))
        self.register_buffer("log_popularity", torch.zeros(items + 1))
        self.register_buffer("trends", torch.zeros(items + 1, TRENDS if data.has_time else 0), persistent=data.has_time)
        features = (
            self.events * len(TABLES) + 2 + self.trends.shape[1] + 2 * sources + (attention.heads if attention else 0)
        )
        # A feature that hardly varies is not blown up: the standard deviation counts as 0.1 at least.
        self.standardise = nn.BatchNorm1d(features, eps=1e-2, momentum=None, affine=False)
        self.alpha = nn.Parameter(torch.full((sources,), 1.0 / sources))
        self.linear = nn.Linear(features, 1, bias=False)
        self.inner = nn.Linear(features, options.ranker_hidden)
        self.outer = nn.Linear(options.ranker_hidden, 1, bias=False)
        self.dropout = nn.Dropout(options.ranker_dropout)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.outer.weight)

    def observe(self, histories: HistoryBatch) -> None:
        """Counts popularity and evidence; forgets what was counted before."""
        evidence = item_evidence(histories, self.items, self.neighbours.shape[1])
        popularity = np.bincount(histories.items, minlength=self.items)
        self.neighbours[1:] = torch.from_numpy(evidence.neighbours)
        self.lifts[1:] = torch.from_numpy(evidence.lifts)
        if self.trends.shape[1]:
            self.trends[1:] = torch.from_numpy(item_trends(histories, self.items))
        self.log_popularity[1:] = torch.from_numpy(np.log1p(popularity).astype(np.float32))

    def forward(
        self,
        tokens: Tensor,
        candidates: Tensor,
        retrieval_scores: Tensor,
        tables: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Returns [B, n] scores.

        Args:
            tokens: [B, L] of the history.
            candidates: [B, n] tokens, in any order; 0 is padding.
            retrieval_scores: [B, n, S].
            tables: what target attention compares: [N + 1, d] vectors of the history's items by token, and [N, d] of
                the candidates by row; None where there is no attention.
        """
        real = candidates > 0
        logits, places = [], []
        for source in retrieval_scores.unbind(2):  # [B, n]
            best = source.masked_fill(~real, -1e9).amax(1, keepdim=True)
            logits.append((source - best).clamp(_LOWEST, 0.0))
            # From the scores: candidates come in any order.
            place = ((logits[-1][:, None, :] > logits[-1][:, :, None]) & real[:, None, :]).sum(2)
            places.append(torch.log1p(place.float()))
        logit = torch.stack(logits, 2)  # [B, n, S]
        length = torch.log1p((tokens > 0).sum(1).float())[:, None].expand_as(logits[0])
        with torch.no_grad():
            evidence = self.evidence(tokens, candidates)
        features = [evidence, torch.stack([self.log_popularity[candidates], length, *places], 2), logit]
        if self.trends.shape[1]:
            features.append(self.trends[candidates])
        if self.attention is not None and tables is not None:
            features.append(self.attention(tokens, candidates, *tables))
        x = torch.cat(features, 2)
        x = self.standardise(x.transpose(1, 2)).transpose(1, 2)
        curved = self.outer(self.dropout(functional.gelu(self.inner(x))))
        scores: Tensor = logit @ self.alpha + (self.linear(x) + curved).squeeze(-1)
        return scores

    def evidence(self, tokens: Tensor, candidates: Tensor) -> Tensor:
        """Returns [B, n, H · T]: the lifts of each candidate after each of the newest events."""
        newest = functional.pad(tokens, (self.events, 0))[:, -self.events :]  # [B, H]
        others = candidates.to(torch.int32)[:, :, None]
        columns = []
        for event in newest.unbind(1):  # one at a time: the comparison takes B · n · M cells, 10 MB for 64 users
            match = self.neighbours[event][:, None, :] == others  # [B, n, M]
            columns.append(match.float() @ self.lifts[event])  # [B, n, T]
        return torch.cat(columns, 2)
