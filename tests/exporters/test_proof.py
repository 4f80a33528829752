"""Each network here is wrong on purpose; its bundle must not appear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import faiss
import pytest
import torch
from bundles import evaluation_set, make_bundle
from tiny_mean import TinyMean
from torch import Tensor, nn

from honeyguide.exporters.forward import Forward, torch_user
from honeyguide.exporters.proof import prove_graphs
from honeyguide.exporters.ranking import prove_ranking
from honeyguide.exporters.sources import CandidateSource
from honeyguide.sdk import DataSpec, Model
from honeyguide.sdk.errors import ExportError

pytestmark = pytest.mark.slow(15)


class Mean(nn.Module):
    """Averages item vectors; the sound start of every broken network here."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(items + 1, 8, padding_idx=0)

    def user(self, batch: Mapping[str, Tensor]) -> Tensor:
        count = (batch["tokens"] > 0).sum(1, keepdim=True)
        return self.embedding(batch["tokens"]).sum(1) / count

    def items(self) -> Tensor:
        return self.embedding.weight[1:]


class ExportAware(Mean):
    def user(self, batch):
        return super().user(batch) * (2.0 if torch.compiler.is_exporting() else 1.0)


class FixedDivisor(Mean):
    """Keeps the length it was traced with, as torch 2.13 does behind a Conv1d without .contiguous()."""

    def user(self, batch):
        length = 5 if torch.compiler.is_exporting() else batch["tokens"].shape[1]
        return self.embedding(batch["tokens"]).sum(1) / length


class Chaotic(Mean):
    """Stretches every rounding error by a large factor, as an unstable recurrence does."""

    def user(self, batch):
        steps = super().user(batch)
        return steps * (1.0 + 5e-4) if torch.compiler.is_exporting() else steps


class FixedShape(Mean):
    def user(self, batch):
        return super().user(batch) * (1.0 if int(batch["tokens"].shape[1]) == 5 else 2.0)


class OnlyFives(Mean):
    def user(self, batch):
        return self.embedding(batch["tokens"].reshape(-1, 5)).sum(1)


class UntranslatableBranch(Mean):
    def user(self, batch):
        return super().user(batch) * (2.0 if batch["tokens"].sum() > 3 else 1.0)


class Diverged(Mean):
    def items(self):
        return super().items() * float("nan")


class TooFewItems(Mean):
    def items(self):
        return super().items()[:-1]


class RandomRanker(Mean):
    def rank(self, batch, candidates, retrieval_scores):
        return retrieval_scores[..., 0] + torch.rand_like(retrieval_scores[..., 0])

    def ranking_module(self):
        return None


class BatchMates(Mean):
    """Centres the batch when exported, so that one user's scores depend on the others."""

    def rank(self, batch, candidates, retrieval_scores):
        scores = retrieval_scores[..., 0]
        return scores - scores.mean(0, keepdim=True) if torch.compiler.is_exporting() else scores * 1.0

    def ranking_module(self):
        return None


def model_of(network_class: type[nn.Module]) -> type[Model]:
    class Plain(Model):
        name = "plain"

        @dataclass(frozen=True)
        class Config:
            max_length: int = 20

        def network(self):
            return network_class(self.data.items)

    return Plain


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (ExportAware, r"the exported user_vector is not the network's .*differs by .*acts otherwise when exported"),
        (FixedDivisor, r"user_vector.*length 1: differs by .*an axis is frozen"),
        (Chaotic, r"differs by 0\.000\d+; .*likely cause: float32 rounding that grows"),
        (FixedShape, r"user.onnx: the network fixes axis 'length' of 'tokens' to 5; it must stay free"),
        (OnlyFives, r"length 1: the network itself fails \(RuntimeError: shape '\[-1, 5\]' is invalid"),
        (UntranslatableBranch, r"user.onnx cannot be made from the network: .*Python control flow over tensor values"),
        (Diverged, r"60 of 60 item vectors are not finite \(first: row 0\): the training diverged"),
        (TooFewItems, r"items\(\) returned shape \(59, 8\); it must be \(60, d\)"),
        (RandomRanker, r"the exported scores is not the network's .*the method is random"),
        (BatchMates, r"the exported scores is not the network's"),
    ],
)
def test_a_bundle_that_fails_its_proof_is_not_written(network, message, tmp_path: Path):
    with pytest.raises(ExportError, match=message):
        make_bundle(tmp_path, model=model_of(network))
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == [".export-lock"]


def test_a_sound_network_passes(tmp_path: Path):
    proof = make_bundle(tmp_path, model=model_of(Mean)).proof
    assert proof["user_vector/max_abs_difference"] < 1e-5
    assert proof["users"] == 40


def sound() -> tuple[Model, nn.Module, Forward]:
    """An untrained model of 60 items, its network, and in place of a graph the network itself."""
    cls = model_of(Mean)
    model = cls(cls.Config(), DataSpec(items=60, repeats=False))
    torch.manual_seed(0)
    network = model.network().eval()
    return model, network, torch_user(network)


def no_candidates(histories, count):
    raise AssertionError("user vectors need no candidates")


def test_the_proof_reaches_the_longest_history_even_where_no_user_has_it():
    model, _, user = sound()
    seen = []

    def spy(inputs):
        seen.append(inputs["tokens"].shape)
        return user(inputs)

    histories = evaluation_set(60).histories
    assert histories.lengths.max() < model.max_length == 20
    prove_graphs(model, {"user_vector": (user, spy)}, histories, no_candidates)
    assert seen == [(batch, length) for length in (1, 2, 20) for batch in (1, 2, 17)]


def test_an_index_that_loses_items_fails_the_ranking_proof():
    model, network, user = sound()
    vectors = network.items().detach().numpy()
    broken = faiss.IndexFlatIP(8)
    broken.add(-vectors)  # finds the worst items first
    with pytest.raises(ExportError, match=r"NDCG@10 after retrieve is 0\.\d+ through ONNX \+ FAISS and 0\.\d+ in"):
        prove_ranking(model, [CandidateSource(model, (user, user), vectors, broken)], evaluation_set(60))


def test_seen_items_are_masked_only_where_items_do_not_repeat(tmp_path: Path):
    once = make_bundle(tmp_path, "once", model=TinyMean).proof["retrieve/ndcg@10/served"]
    again = make_bundle(tmp_path, "again", model=TinyMean, repeats=True).proof["retrieve/ndcg@10/served"]
    assert once != again
