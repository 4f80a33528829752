"""Ranks candidates by what retrieval said, by what followed the newest events elsewhere, and by target attention.

    score(c) = Σ_s α_s · logit_s(c) + w · features(c) + MLP(features(c))

w and the perceptron's last layer start at 0 and each α at 1 / S, so that ranking begins as retrieval. The features are
the evidence of `honeyguide.models.evidence.counts` for each of the newest events; the candidate's log popularity and,
where the data has times, its trend and how long ago it was last met; the history's length; each source's logit less the
list's best, and log place; and, where a model has one, its target attention (`evidence.target_attention`).

With ``ranker_time`` there are two more kinds: how long ago each of the newest events was, and the evidence of all of
them together, each counting for less the longer ago it was, by a power of the time (a memory's decay, Wixted &
Ebbesen, 1991; the bias of HSTU, Zhai et al., ICML 2024, by buckets), with one learnt exponent for each table::

    together_t(c) = Σ_h evidence_t(c | event h) · (1 + seconds since h) ^ −p_t

B users, L positions, n candidates, S sources, H newest events, T tables of evidence, M neighbours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.evidence.counts import TABLES, TRENDS, item_evidence, item_trends
from honeyguide.models.evidence.lookup import CELLS, hash_neighbours, look_up_in_slots, look_up_in_table
from honeyguide.models.evidence.target_attention import TargetAttention
from honeyguide.models.sequence.options import RankerOptions
from honeyguide.sdk import DataSpec, HistoryBatch

__all__ = ["EvidenceRanker", "places"]

_NEIGHBOURS = 10_000_000  # of all items together: the tables take 24 bytes for each
_DECAY = 0.1  # exponent at the start: a minute counts for .66 of now, a day for .32, a month for .23
_SECONDS = 86_400.0  # of a day
_LOWEST = -30.0  # a logit this far below the best cannot win; what is masked comes with much less


class EvidenceRanker(nn.Module):
    """Scores of candidates; all inputs but the parameters are counts and the retrievers' scores."""

    neighbours: Tensor
    lifts: Tensor
    slots: Tensor
    homes: Tensor
    log_popularity: Tensor
    trends: Tensor

    def __init__(
        self, options: RankerOptions, data: DataSpec, sources: int = 1, attention: TargetAttention | None = None
    ) -> None:
        super().__init__()
        self.attention = attention
        self.events, self.items = options.events, (items := data.items)
        self.timed = options.ranker_time and data.has_time
        width = min(options.neighbours, items, max(_NEIGHBOURS // items, 1))
        self.register_buffer("neighbours", torch.zeros(items + 1, width, dtype=torch.int32))  # tokens, by token
        self.register_buffer("lifts", torch.zeros(items + 1, width, len(TABLES)))
        # Derived from the neighbours, so no checkpoint holds them.
        self.hashed = (items + 1) ** 2 > CELLS
        self.register_buffer("slots", torch.zeros(0, 0, dtype=torch.int32), persistent=False)
        self.register_buffer("homes", torch.zeros(0, 0, dtype=torch.int32), persistent=False)
        self.register_load_state_dict_post_hook(_hash_again)  # type: ignore[no-untyped-call]  # of torch
        self._hash()
        self.register_buffer("log_popularity", torch.zeros(items + 1))
        self.register_buffer("trends", torch.zeros(items + 1, TRENDS if data.has_time else 0), persistent=data.has_time)
        features = (
            self.events * len(TABLES) + 2 + self.trends.shape[1] + 2 * sources + (attention.heads if attention else 0)
        )
        if self.timed:
            features += self.events + len(TABLES)
            self.exponents = nn.Parameter(torch.full((len(TABLES),), _DECAY))
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
        self._hash()
        if self.trends.shape[1]:
            self.trends[1:] = torch.from_numpy(item_trends(histories, self.items))
        self.log_popularity[1:] = torch.from_numpy(np.log1p(popularity).astype(np.float32))

    def forward(
        self,
        tokens: Tensor,
        candidates: Tensor,
        retrieval_scores: Tensor,
        tables: tuple[Tensor, Tensor] | None = None,
        ages: Tensor | None = None,
    ) -> Tensor:
        """Returns [B, n] scores.

        Args:
            tokens: [B, L] of the history.
            candidates: [B, n] tokens, in any order; 0 is padding.
            retrieval_scores: [B, n, S].
            tables: what target attention compares: [N + 1, d] vectors of the history's items by token, and [N, d] of
                the candidates by row; None where there is no attention.
            ages: [B, L] days from each event to now; read with ``ranker_time`` alone, and needed there.
        """
        real = candidates > 0
        logits, log_places = [], []
        for source in retrieval_scores.unbind(2):  # [B, n]
            best = source.masked_fill(~real, -1e9).amax(1, keepdim=True)
            logits.append((source - best).clamp(_LOWEST, 0.0))
            # From the scores: candidates come in any order.
            log_places.append(torch.log1p(places(logits[-1].masked_fill(~real, 2.0 * _LOWEST))))
        length = torch.log1p((tokens > 0).sum(1).float())[:, None].expand_as(logits[0])
        of_items = torch.cat([self.log_popularity[:, None], self.trends], 1)
        of_candidates = functional.embedding(candidates, of_items)  # [B, n, 1 + trends]
        with torch.no_grad():
            evidence = self.evidence(tokens, candidates)
        features = [evidence, of_candidates[:, :, :1], torch.stack([length, *log_places, *logits], 2)]
        if self.trends.shape[1]:
            features.append(of_candidates[:, :, 1:])
        if self.attention is not None and tables is not None:
            features.append(self.attention(tokens, candidates, *tables))
        if self.timed:
            if ages is None:
                raise ValueError(
                    "ranker_time is on, and the ages of the events are not given: let `encode` lay them out"
                )
            features += self._by_time(evidence, tokens, ages)
        x = torch.cat(features, 2)
        if self.training:
            x = self.standardise(x.transpose(1, 2)).transpose(1, 2)
            linear, inner = self.linear(x).squeeze(2), self.inner(x)
        else:
            weight, bias = self._standardised(self.linear)
            linear = functional.linear(x, weight).squeeze(2) + bias
            inner = functional.linear(x, *self._standardised(self.inner))
        scores: Tensor = linear + self.outer(self.dropout(functional.gelu(inner))).squeeze(2)
        for logit, alpha in zip(logits, self.alpha.unbind(), strict=True):
            scores = scores + alpha * logit
        return scores

    def _by_time(self, evidence: Tensor, tokens: Tensor, ages: Tensor) -> list[Tensor]:
        """Returns [B, n, H] log seconds since the newest events, 0 at padding, and [B, n, T] evidence so decayed."""
        real = functional.pad((tokens > 0).to(ages.dtype), (self.events, 0))[:, -self.events :]
        days = functional.pad(ages, (self.events, 0))[:, -self.events :].clamp_min(0.0)
        since = torch.log1p(_SECONDS * days) * real
        weights = torch.exp(-since[:, :, None] * self.exponents.clamp_min(0.0))  # [B, H, T]
        together = (evidence.view(*evidence.shape[:2], self.events, -1) * weights[:, None]).sum(2)
        return [since[:, None].expand(-1, evidence.shape[1], -1), together]

    def _standardised(self, layer: nn.Linear) -> tuple[Tensor, Tensor]:
        """Returns a layer's weight and bias for features as they are: constants, so a graph has one product."""
        weight = layer.weight * torch.rsqrt(self.standardise.get_buffer("running_var") + self.standardise.eps)
        bias = -(weight @ self.standardise.get_buffer("running_mean"))
        return weight, bias if layer.bias is None else bias + layer.bias

    def evidence(self, tokens: Tensor, candidates: Tensor) -> Tensor:
        """Returns [B, n, H · T]: the lifts of each candidate after each of the newest events."""
        newest = functional.pad(tokens, (self.events, 0))[:, -self.events :]  # [B, H]
        if self.hashed:
            return look_up_in_slots(self.slots, self.homes, self.lifts, newest, candidates).flatten(2)
        return look_up_in_table(self.neighbours, self.lifts, newest, candidates).flatten(2)

    def _hash(self) -> None:
        """Makes the slots anew, of whatever neighbours there are now."""
        if self.hashed:
            slots, homes = hash_neighbours(self.neighbours.cpu().numpy())
            self.slots, self.homes = (torch.from_numpy(part).to(self.neighbours.device) for part in (slots, homes))


def _hash_again(ranker: EvidenceRanker, _: object) -> None:
    ranker._hash()  # noqa: SLF001  # torch calls it when weights were loaded


def places(scores: Tensor) -> Tensor:
    """Returns the [B, n] number of higher scores, of [B, n]."""
    ordered, order = scores.sort(1, descending=True)
    rising = torch.arange(scores.shape[1], device=scores.device).expand_as(order)
    run = functional.pad(ordered[:, 1:] != ordered[:, :-1], (1, 0)).long().cumsum(1)  # equal scores are one run
    first = torch.zeros_like(order).scatter_reduce(1, run, rising, "amin", include_self=False)
    return torch.zeros_like(scores).scatter(1, order, first.gather(1, run).to(scores.dtype))
