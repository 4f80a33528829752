"""A tiny model of each kind, and data whose right answer is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable, Model
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost, PluginInfo

ITEMS = 24


class _LastItem(nn.Module):
    """Knows the newest item alone, which is all the checkerboard asks for."""

    def __init__(self, items: int, width: int, dropout: float) -> None:
        super().__init__()
        self.last = nn.Embedding(items + 1, width, padding_idx=0)
        self.out = nn.Embedding(items, width)
        self.dropout = nn.Dropout(dropout)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self.dropout(self.last(batch["tokens"]))

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self.positions(batch)[:, -1]

    def items(self) -> Tensor:
        return self.out.weight

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        scores = self.positions(batch) @ self.items().T
        return nn.functional.cross_entropy(scores.flatten(0, 1), batch["targets"].flatten() - 1, ignore_index=-1)


class _Ranking(_LastItem):
    def __init__(self, items: int, width: int, dropout: float) -> None:
        super().__init__(items, width, dropout)
        self.follows = nn.Embedding((items + 1) ** 2, 1)  # what follows what
        nn.init.zeros_(self.follows.weight)

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        pair = batch["tokens"][:, -1:] * (self.out.num_embeddings + 1) + candidates
        logits = retrieval_scores[:, :, 0]
        return logits - logits.max(1, keepdim=True).values + self.follows(pair).squeeze(-1)

    def ranking_module(self) -> nn.Module:
        return self.follows


class _Shuffling(_LastItem):
    """Ranks by a fixed number for each item that has nothing to do with the user."""

    def rank(self, batch: Mapping[str, Tensor], candidates: Tensor, retrieval_scores: Tensor) -> Tensor:
        return torch.sin(candidates * 37.0)

    def ranking_module(self) -> None:
        return None


class _Counting(nn.Module):
    """Learns by `observe` alone: the items that came right after the newest one."""

    counts: Tensor

    def __init__(self, items: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(items + 1, items))

    def observe(self, histories: HistoryBatch, items: ItemTable) -> None:
        self.counts.zero_()
        tokens = torch.from_numpy(histories.tokens(1000))
        pairs = torch.stack([tokens[:, :-1].flatten(), tokens[:, 1:].flatten() - 1])[:, tokens[:, :-1].flatten() > 0]
        self.counts.index_put_((pairs[0], pairs[1]), torch.ones(pairs.shape[1]), accumulate=True)

    def positions(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self.counts[batch["tokens"]]

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self.positions(batch)[:, -1]

    def items(self) -> Tensor:
        return torch.eye(self.counts.shape[1], device=self.counts.device)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        raise AssertionError("there is nothing to learn")


@dataclass(frozen=True)
class TinyConfig:
    width: int = 16
    dropout: float = 0.1
    max_length: int = 5


class Tiny(Model):
    name = "tiny"
    Config = TinyConfig
    fit_defaults: Mapping[str, Any] = {"lr": 0.05, "patience": 4, "batch_tokens": 256, "epochs": 40}

    def network(self) -> nn.Module:
        return _LastItem(self.data.items, self.config.width, self.config.dropout)


class TinyRanking(Tiny):
    name = "tiny_ranking"
    fit_defaults: Mapping[str, Any] = {**Tiny.fit_defaults, "ranker_lr": 0.1, "candidates": 12, "ranker_batch": 32}

    def network(self) -> nn.Module:
        return _Ranking(self.data.items, self.config.width, self.config.dropout)


class TinyShuffling(Tiny):
    name = "tiny_shuffling"

    def network(self) -> nn.Module:
        return _Shuffling(self.data.items, self.config.width, self.config.dropout)


class TinyCounting(Tiny):
    name = "tiny_counting"

    def network(self) -> nn.Module:
        return _Counting(self.data.items)


def checkerboard_host() -> PluginHost:
    """Offers the tiny models."""
    models = {cls.name: cls for cls in (Tiny, TinyRanking, TinyShuffling, TinyCounting)}
    info = PluginInfo("tiny", "tiny-plugin", "1.2", models=tuple(models))
    return PluginHost((info,), models, {}, dict.fromkeys(models, info))


def checkerboard_data() -> tuple[DataSpec, HistoryBatch, EvaluationSet]:
    """Users walk along the even items or along the odd ones: two places on is always next."""
    rng = np.random.default_rng(7)
    starts = rng.integers(0, ITEMS, 120)
    lengths = rng.integers(6, 10, 120)
    walks = [[int(s + 2 * i) % ITEMS for i in range(n + 1)] for s, n in zip(starts, lengths, strict=True)]
    training = HistoryBatch.from_lists([walk[:-1] for walk in walks])
    validation = EvaluationSet(training, np.arange(120), np.array([walk[-1] for walk in walks], np.int32))
    return DataSpec(items=ITEMS, repeats=False), training, validation
