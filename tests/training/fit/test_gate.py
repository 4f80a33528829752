"""Covers gate.py: what a training says of its ranker and of the transitions."""

from __future__ import annotations

import torch

from honeyguide.sdk.host import PluginHost
from honeyguide.training.fit.gate import judge


def test_a_model_that_what_followed_what_beats_is_said_so(host: PluginHost, checkerboard) -> None:
    spec, training, validation = checkerboard
    cls = host.model("tiny_ranking")
    torch.manual_seed(1)
    model = cls(cls.Config(), spec)
    judged = judge(model, model.network(), [], training, validation, 5, seed=0)
    gate, over = judged.report["gate"], judged.report["transitions"]
    assert f"NDCG@10 {gate['ndcg10_gain']:+.4f} [{gate['ndcg10_interval'][0]:+.4f}, " in judged.words
    assert gate["ndcg10_interval"][0] <= gate["ndcg10_gain"] <= gate["ndcg10_interval"][1]
    # Nobody trained it.
    assert over["ndcg10_interval"][1] < 0
    assert f"{over['stage']} is worse than transitions, which only count what followed what" in over["words"]
    assert judged.metrics["transitions/ndcg@10"] > judged.metrics[f"{over['stage']}/ndcg@10"]
