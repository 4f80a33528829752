import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torchmetrics.functional import retrieval as peer
from torchmetrics.functional.classification import binary_auroc

from honeyguide.sdk import DataSpec, HistoryBatch, Model
from honeyguide.sdk.errors import PluginError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.metrics import auc, metrics_at, per_user_at, target_ranks
from honeyguide.training.evaluation.baselines import counted_baselines
from honeyguide.training.evaluation.stages import evaluate_stages, flatten, rank_targets

Board = tuple[DataSpec, HistoryBatch, EvaluationSet]


def random_case(seed: int, *, ties: bool) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Returns (users, items) scores and the users and items of one to five targets each."""
    rng = np.random.default_rng(seed)
    users, items = 30, 40
    scores = rng.uniform(0.1, 0.9, (users, items)).astype(np.float32)  # torchmetrics ignores a hit whose score is ≤ 0
    if ties:
        scores = scores.round(1)
    relevant = rng.random((users, items)).argsort(1) < rng.integers(1, 6, (users, 1))
    target_users, target_items = np.nonzero(relevant)
    return scores, target_users, target_items


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 3, 10, 40])
def test_metrics_equal_torchmetrics(seed: int, k: int) -> None:
    scores, users, items = random_case(seed, ties=False)
    found = per_user_at(target_ranks(scores, users, items), users, len(scores), k)
    for user, row in enumerate(torch.from_numpy(scores)):
        target = torch.zeros(scores.shape[1], dtype=torch.bool)
        target[items[users == user]] = True
        precision = float(peer.retrieval_precision(row, target, top_k=k))
        recall = float(peer.retrieval_recall(row, target, top_k=k))
        # torchmetrics averages precision over the hits; here it is over the possible hits, so it is scaled.
        hits = round(precision * k)
        possible = min(int(target.sum()), k)
        expected = {
            "hr": float(peer.retrieval_hit_rate(row, target, top_k=k)),
            "recall": recall,
            "precision": precision,
            "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
            "ndcg": float(peer.retrieval_normalized_dcg(row, target, top_k=k)),
            "mrr": float(peer.retrieval_reciprocal_rank(row, target, top_k=k)),
            "map": float(peer.retrieval_average_precision(row, target, top_k=k)) * hits / possible,
        }
        for name, value in expected.items():
            assert found[name][user] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
def test_auc_equals_brute_force_and_torchmetrics(seed: int, ties: bool) -> None:
    scores, users, items = random_case(seed, ties=ties)
    wins, areas = [], []
    for user, row in enumerate(scores):
        mine = items[users == user]
        others = np.delete(row, mine)
        pairs = [float(row[i] > o) + 0.5 * float(row[i] == o) for i in mine for o in others]
        wins.append(sum(pairs) / len(pairs))
        truth = torch.zeros(len(row), dtype=torch.int64)
        truth[mine] = 1
        areas.append(float(binary_auroc(torch.from_numpy(row).double(), truth)))
    found = auc(target_ranks(scores, users, items), users, len(scores), np.full(len(scores), scores.shape[1]))
    assert found == pytest.approx(np.mean(wins), abs=1e-12)
    assert found == pytest.approx(np.mean(areas), abs=1e-6)


def test_ties_share_the_mean_rank_as_all_orders_would_on_average() -> None:
    scores = np.array([[5, 3, 3, 3, 1]], np.float32)
    users, items = np.array([0, 0, 0]), np.array([0, 2, 4])
    assert target_ranks(scores, users, items).tolist() == [1.0, 3.0, 5.0]


def test_metrics_of_a_hand_worked_list() -> None:
    # Relevant at ranks 2 and 4 (a third is not in the list); k = 5.
    ranks, users = np.array([4.0, 2.0, np.inf]), np.zeros(3, np.int64)
    found = metrics_at(ranks, users, 1, [5])
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert found == pytest.approx(
        {
            "hr@5": 1.0,
            "recall@5": 2 / 3,
            "precision@5": 2 / 5,
            "f1@5": 0.5,
            "ndcg@5": (1 / math.log2(3) + 1 / math.log2(5)) / ideal,
            "mrr@5": 0.5,
            "map@5": (1 / 2 + 2 / 4) / 3,
        }
    )


def test_the_metrics_of_two_users_are_averaged() -> None:
    assert metrics_at(np.array([1.0, 11.0]), np.array([0, 1]), 2, [10])["ndcg@10"] == 0.5


class _Fixed(nn.Module):
    """Scores item i with table[newest token, i]; ranks candidates in the order of their rows, the largest first."""

    def __init__(self, table: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("table", torch.from_numpy(table))

    def user(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.get_buffer("table")[batch["tokens"][:, -1]]

    def items(self) -> torch.Tensor:
        return torch.eye(self.get_buffer("table").shape[1])

    def rank(self, batch: dict[str, torch.Tensor], candidates: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        assert scores.shape == (*candidates.shape, 1)
        assert len(batch["tokens"]) == len(candidates)
        return candidates.float()

    def ranking_module(self) -> None:
        return None


def fixed(host: PluginHost, rows: list[list[float]], *, repeats: bool) -> tuple[Model, nn.Module]:
    cls = host.model("tiny")
    table = np.array([[0.0] * len(rows[0]), *rows], np.float32)
    return cls(cls.Config(), DataSpec(items=len(rows[0]), repeats=repeats)), _Fixed(table)


def test_seen_items_are_masked_unless_the_data_repeats(host: PluginHost) -> None:
    data = EvaluationSet(HistoryBatch.from_lists([[1, 0]]), np.array([0]), np.array([3], np.int32))
    ranks = {}
    for repeats in (True, False):
        model, network = fixed(host, [[9, 8, 7, 6, 5]], repeats=repeats)
        famous = HistoryBatch.from_lists([[0] * 5 + [1] * 4 + [2] * 3 + [3] * 2 + [4]])
        stage = rank_targets(model, network, data, baselines=counted_baselines(famous, 5), longest=5)
        ranks[repeats] = (stage["retrieve"].ranks.tolist(), stage["popularity"].ranks.tolist())
        assert stage["retrieve"].lists.tolist() == ([[0, 1, 2, 3, 4]] if repeats else [[2, 3, 4, -1, -1]])
        assert stage["retrieve"].ranked.tolist() == [5 if repeats else 3]
    assert ranks == {True: ([4.0], [4.0]), False: ([2.0], [2.0])}


def test_the_ranker_reorders_candidates_and_the_rest_stays_behind(host: PluginHost) -> None:
    model, network = fixed(host, [[9, 8, 7, 6, 5, 4]], repeats=True)
    histories = HistoryBatch.from_lists([[0]] * 3)
    data = EvaluationSet(histories, np.array([0, 1, 1, 2]), np.array([0, 2, 3, 5], np.int32))
    stage = rank_targets(model, network, data, candidates=3, longest=5)["rank"]
    assert stage.lists[0].tolist() == [2, 1, 0, 3, 4]  # the ranker prefers the largest of rows 0, 1, 2
    assert stage.ranks.tolist() == [3.0, 1.0, 4.0, 6.0]
    # The ranker gives 3, 2, 1 (tokens), the retrieval 9, 8, 7 and 6, 5: what comes behind goes on below the ranker's 1.
    assert stage.scores[0].tolist() == [3.0, 2.0, 1.0, 0.0, -1.0]


def test_more_candidates_than_items_left_rank_the_same(host: PluginHost) -> None:
    model, network = fixed(host, [[9, 8, 7, 6]], repeats=False)
    data = EvaluationSet(HistoryBatch.from_lists([[2, 0]]), np.array([0]), np.array([1], np.int32))
    stage = rank_targets(model, network, data, candidates=100, longest=4)["rank"]
    assert stage.lists.tolist() == [[3, 1, -1, -1]]
    assert stage.scores.tolist() == [[4.0, 2.0, -np.inf, -np.inf]]
    assert stage.ranks.tolist() == [2.0]


def test_coverage_counts_the_items_in_any_list(host: PluginHost) -> None:
    model, network = fixed(host, [[9, 8, 7, 6], [6, 9, 8, 7], [1, 2, 3, 4], [0, 0, 0, 0]], repeats=True)
    data = EvaluationSet(HistoryBatch.from_lists([[0], [1], [0]]), np.arange(3), np.zeros(3, np.int32))
    found = evaluate_stages(model, network, data, ks=[1, 2])["retrieve"]
    assert (found["coverage@1"], found["coverage@2"]) == (0.5, 0.75)


def test_the_size_of_user_batches_changes_nothing(host: PluginHost, checkerboard: Board) -> None:
    spec, training, validation = checkerboard
    cls = host.model("tiny_ranking")
    model = cls(cls.Config(), spec)
    torch.manual_seed(1)
    network = model.network()
    baselines = counted_baselines(training, spec.items)
    results = [
        flatten(evaluate_stages(model, network, validation, candidates=5, baselines=baselines, batch_users=size))
        for size in (1, 7, 1000)
    ]
    assert results[0] == pytest.approx(results[2])
    assert results[1] == pytest.approx(results[2])
    assert set(results[0]) >= {
        "popularity/ndcg@10",
        "transitions/ndcg@10",
        "retrieve/auc",
        "rank/coverage@20",
        "retrieve/map@5",
    }


def test_scores_that_are_no_numbers_are_refused(host: PluginHost) -> None:
    model, network = fixed(host, [[float("nan"), 1.0]], repeats=True)
    data = EvaluationSet(HistoryBatch.from_lists([[0]]), np.array([0]), np.array([1], np.int32))
    with pytest.raises(PluginError, match="smaller learning rate"):
        evaluate_stages(model, network, data)
