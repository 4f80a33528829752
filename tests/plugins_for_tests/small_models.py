"""Builds the package's own models small and untrained, with every weight at work, and data of two kinds for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.attention_lstm import AttentionLstm
from honeyguide.models.cf import CollaborativeFiltering
from honeyguide.models.gru import Gru
from honeyguide.models.mlp import Mlp
from honeyguide.models.transformer import Transformer
from honeyguide.sdk import DataSpec, FeatureScaler, HistoryBatch, ItemTable, Model
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.config import config_from
from honeyguide.sdk.history import EvaluationSet

__all__ = [
    "DAY",
    "EXPLAIN",
    "MODELS",
    "PLAIN",
    "RICH",
    "SEQUENCE",
    "SPECS",
    "histories",
    "pad",
    "small",
    "walks",
    "weighty",
]

MODELS: Mapping[str, type[Model]] = {
    cls.name: cls for cls in (AttentionLstm, CollaborativeFiltering, Gru, Mlp, Transformer)
}
SEQUENCE = ("attention_lstm", "gru", "transformer")
"""Those that read events, not items alone."""
EXPLAIN = ("attention_lstm", "cf", "mlp", "transformer")
DAY = 86_400_000

_OPTIONS = {
    "dimension": 16,
    "max_length": 8,
    "hidden": 16,
    "heads": 2,
    "time_bias": True,
    "gap_to_now": True,
    "ranker_time": True,
    "neighbours": 5,
    "events": 3,
    "attended": 4,
    "ranker_hidden": 8,
}
PLAIN = DataSpec(items=12, repeats=True)
"""Data of items alone."""
RICH = DataSpec(
    items=12,
    repeats=False,
    has_time=True,
    event_types=("view", "buy"),
    features=tuple(
        FeatureScaler(name, 0.0, 0.0, 9.0, log=False, mean=0.0, std=1.0) for name in ("dwell_seconds", "clicks")
    ),
)
"""Data with times, types and features."""
SPECS = {"items alone": PLAIN, "every column": RICH}


def small(name: str, data: DataSpec, **options: Any) -> Model:
    """Builds a model with those of the small options that it has, and with others of the test's own."""
    cls = MODELS[name]
    names = {field.name for field in dataclasses.fields(cls.Config)}
    shared = {key: value for key, value in _OPTIONS.items() if key in names}
    return cls(config_from(cls.Config, shared | options), data)


def weighty(model: Model) -> Any:
    """Builds a model's network, in eval mode, none of whose weights is small and which has observed a few users."""
    torch.manual_seed(0)
    network: Any = model.network()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    if (observes := capabilities_of(network).observes) is not None:
        observes.observe(
            HistoryBatch.from_lists([[0, 1, 2, 3, 1], [2, 3, 4], [5, 0]]), ItemTable.of_rows(model.data.items)
        )
    return network.eval()


def histories(data: DataSpec, lists: Sequence[Sequence[int]], seed: int = 0) -> HistoryBatch:
    """Builds histories of given items; the columns that the data has are random."""
    plain = HistoryBatch.from_lists(lists)
    rng = np.random.default_rng(seed)
    count = len(plain.items)
    times = 1_600_000_000_000 + np.cumsum(rng.integers(1, 3 * DAY, count))
    return replace(
        plain,
        times_ms=times if data.has_time else None,
        request_times_ms=times[plain.offsets[1:] - 1] + rng.integers(1, 9 * DAY, len(plain)) if data.has_time else None,
        features={scaler.name: rng.standard_normal(count).astype(np.float32) for scaler in data.features},
        event_types=rng.integers(0, 1 + len(data.event_types), count, np.int32) if data.event_types else None,
    )


def pad(model: Model, batch: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Returns a batch with ``count`` more columns of padding on the left of every input that has a length."""
    axes = {spec.name: spec.axes for spec in model.inputs()}
    before = {name: [0, 0] * (tensor.ndim - 2) + [count, 0] for name, tensor in batch.items()}
    return {
        name: functional.pad(tensor, before[name]) if "length" in axes.get(name, ("batch", "length")) else tensor
        for name, tensor in batch.items()
    }


def walks(seed: int, count: int, items: int) -> EvaluationSet:
    """Walks along the even or along the odd items: two places on is always next."""
    rng = np.random.default_rng(seed)
    lists = [
        [int(s + 2 * i) % items for i in range(n + 1)]
        for s, n in zip(rng.integers(0, items, count), rng.integers(2, 9, count), strict=True)
    ]
    known = HistoryBatch.from_lists([walk[:-1] for walk in lists])
    return EvaluationSet(known, np.arange(count), np.array([walk[-1] for walk in lists], np.int32))
