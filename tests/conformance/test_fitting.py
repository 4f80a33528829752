"""The kit's tiny fit finds the checkerboard's answer, with vectors and by ranking what stand-ins retrieve."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from honeyguide.conformance.data import RICH
from honeyguide.conformance.fitting import LEARNT, fit_for_checkerboard
from honeyguide.conformance.stand_in import stand_ins
from honeyguide.sdk import Model


class Trust(nn.Module):
    """Learns how much each retriever is worth, or, where it is frozen, nothing."""

    def __init__(self, learns: bool) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(2)) if learns else nn.Parameter(torch.tensor([1.0, 0.0]))
        self.learns = learns

    def rank(self, batch, candidates, retrieval_scores):
        return retrieval_scores @ (self.weights if self.learns else self.weights.detach() + 0.0 * self.weights)

    def ranking_module(self):
        return self


class Trusting(Model):
    name = "trusting"
    retrieves = False

    @dataclass(frozen=True)
    class Config:
        learns: bool = True

    def network(self):
        return Trust(self.config.learns)


@pytest.mark.parametrize("learns", [True, False])
def test_a_ranker_learns_which_of_its_sources_is_right(learns: bool) -> None:
    model = Trusting(Trusting.Config(learns), RICH)
    network = model.network()
    scores = fit_for_checkerboard(model, network, stand_ins(2, RICH))
    assert (max(scores) >= LEARNT) is learns
    assert not network.training
