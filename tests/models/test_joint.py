import pytest
import torch

from honeyguide.models.joint import Joint, JointOptions
from honeyguide.models.joint_network import JointNetwork
from honeyguide.sdk import DataSpec
from honeyguide.sdk.capabilities import capabilities_of


def test_it_ranks_by_a_score_from_each_source_and_retrieves_nothing() -> None:
    network = Joint(JointOptions(sources=2), DataSpec(items=10, repeats=True)).network()
    assert isinstance(network, JointNetwork)
    assert not Joint.retrieves
    assert capabilities_of(network).ranks is not None
    tokens, candidates = torch.tensor([[0, 3, 4], [1, 2, 3]]), torch.tensor([[5, 6, 7, 8]] * 2)
    scores = network.eval().rank({"tokens": tokens}, candidates, torch.rand(2, 4, 2))
    assert scores.shape == (2, 4)
    assert network.ranking_module() is network.ranker


def test_it_needs_a_source() -> None:
    with pytest.raises(ValueError, match="sources is 0; allowed: 1 or more"):
        JointOptions(sources=0)
