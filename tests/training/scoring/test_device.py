from __future__ import annotations

import torch
from torch import nn

from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.host import PluginHost
from honeyguide.training.scoring.device import best_device, device_of, tensors


def test_a_network_is_where_its_parameters_or_else_its_buffers_are() -> None:
    counts = nn.Module()
    assert device_of(counts).type == "cpu"
    counts.register_buffer("counts", torch.zeros(1, device="meta"))
    assert device_of(counts).type == "meta"
    counts.weight = nn.Parameter(torch.zeros(1))
    assert device_of(counts).type == "cpu"


def test_histories_become_the_model_s_inputs_on_the_device(host: PluginHost) -> None:
    cls = host.model("tiny")
    batch = tensors(cls(cls.Config(), DataSpec(items=3, repeats=True)), HistoryBatch.from_lists([[0, 2], [1]]))
    assert batch["tokens"].tolist() == [[1, 3], [0, 2]]
    assert torch.zeros(1, device=best_device()).device.type == best_device().type
