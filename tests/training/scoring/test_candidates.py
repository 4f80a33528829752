from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from honeyguide.sdk import DataSpec, HistoryBatch, Model
from honeyguide.sdk.errors import PluginError
from honeyguide.sdk.host import PluginHost
from honeyguide.training.scoring.candidates import rerank, retrieve, score_all


class Fixed(nn.Module):
    """Gives everybody the same scores; ranks by the token less what the last source says."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.register_buffer("scores", torch.tensor(scores, dtype=torch.float32))

    def user(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.get_buffer("scores").expand(len(batch["tokens"]), -1)

    def items(self) -> torch.Tensor:
        return torch.eye(len(self.get_buffer("scores")))

    def rank(self, batch: dict[str, torch.Tensor], candidates: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return candidates.float() - scores[..., -1]

    def ranking_module(self) -> None:
        return None


def source(host: PluginHost, scores: list[float], *, repeats: bool = True) -> tuple[Model, nn.Module]:
    cls = host.model("tiny")
    return cls(cls.Config(), DataSpec(items=len(scores), repeats=repeats)), Fixed(scores)


def test_seen_items_get_no_score_unless_the_data_repeats(host: PluginHost) -> None:
    histories = HistoryBatch.from_lists([[0], [2, 1]])
    own = {repeats: score_all(*source(host, [3, 2, 1], repeats=repeats), histories)[0] for repeats in (True, False)}
    assert own[True].tolist() == [[3, 2, 1], [3, 2, 1]]
    assert own[False].tolist() == [[-np.inf, 2, 1], [3, -np.inf, -np.inf]]
    others = score_all(*source(host, [3, 2, 1], repeats=False), histories, HistoryBatch.from_lists([[1], [1]]))[0]
    assert others.tolist() == [[3, -np.inf, 1], [3, -np.inf, 1]]


def test_scores_that_are_no_numbers_are_refused(host: PluginHost) -> None:
    with pytest.raises(PluginError, match="smaller learning rate"):
        score_all(*source(host, [float("nan"), 1.0]), HistoryBatch.from_lists([[0]]))


def test_one_source_gives_its_best_and_their_scores(host: PluginHost) -> None:
    rows, scores = retrieve([source(host, [1, 3, 2], repeats=False)], HistoryBatch.from_lists([[0], [1, 2]]), 2)
    assert rows.tolist() == [[1, 2], [0, -1]]
    assert scores.tolist() == [[[3], [2]], [[1], [-np.inf]]]


def test_each_of_several_sources_scores_every_candidate(host: PluginHost) -> None:
    sources = [source(host, [9, 8, 0, 1]), source(host, [0, 5, 6, 7])]
    rows, scores = retrieve(sources, HistoryBatch.from_lists([[0]]), 2)
    assert rows.tolist() == [[0, 1, 3, 2]]  # the first one's best, then what is new in the second one's
    assert scores.tolist() == [[[9, 0], [8, 5], [1, 7], [0, 6]]]


def test_a_ranker_gets_tokens_and_no_score_of_what_is_not_there() -> None:
    rows, scores = np.array([[2, 0, -1]], np.int32), np.array([[[0.5], [0.25], [-np.inf]]], np.float32)
    ranked = rerank(Fixed([0.0]), {}, rows, scores)
    assert ranked.tolist() == [[2.5, 0.75, -np.inf]]  # token 3 - 0.5, token 1 - 0.25


def test_a_ranker_that_gives_no_numbers_is_refused() -> None:
    with pytest.raises(PluginError, match="smaller ranker_lr"):
        rerank(Fixed([0.0]), {}, np.array([[0]], np.int32), np.array([[[np.nan]]], np.float32))
