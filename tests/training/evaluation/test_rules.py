import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from honeyguide.rules.category_cap import CategoryCap
from honeyguide.rules.diversity import Diversity
from honeyguide.rules.seen import Seen
from honeyguide.sdk import Categories, DataSpec, HistoryBatch, RankedCandidates, Rule
from honeyguide.sdk.errors import PluginError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.training.evaluation import rules
from honeyguide.training.evaluation.baselines import counted_baselines
from honeyguide.training.evaluation.rules import ItemFacts, list_length, measure, reorder
from honeyguide.training.evaluation.stages import StageRanks, evaluate_stages, rank_targets

Board = tuple[DataSpec, HistoryBatch, EvaluationSet]
NO_CATEGORIES = Categories(np.zeros(5, np.int64), np.empty(0, np.int32))


@dataclass(frozen=True)
class _NoOptions:
    pass


def rule(answer: Callable[[RankedCandidates, int], Any]) -> Rule:
    class Made(Rule):
        name = "made"
        Config = _NoOptions

        def apply(self, ranking: RankedCandidates, k: int) -> NDArray[np.intp]:
            return answer(ranking, k)

    return Made(_NoOptions())


def by_hand() -> tuple[StageRanks, EvaluationSet, ItemFacts]:
    """Two users see items 0, 1, 2, 3 in this order; user 0 wants item 2 and user 1 item 0 and had item 1 before."""
    stage = StageRanks(
        ranks=np.array([3.0, 1.0]),
        lists=np.array([[0, 1, 2, 3]] * 2, np.int32),
        scores=np.array([[4, 3, 2, 1]] * 2, np.float32),
        ranked=np.array([4, 4]),
    )
    data = EvaluationSet(HistoryBatch.from_lists([[3], [1]]), np.arange(2), np.array([2, 0], np.int32))
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    # Items 0 and 1 are in category 0, item 2 is in categories 0 and 1, item 3 is in none.
    categories = Categories(np.array([0, 1, 2, 4, 4]), np.array([0, 0, 0, 1], np.int32))
    return stage, data, ItemFacts(vectors, categories, np.array([3, 1, 0, 0]))


def test_a_stage_and_a_rule_worked_by_hand() -> None:
    stage, data, facts = by_hand()
    found = measure({"retrieve": stage}, {"seen": Seen(Seen.Config())}, data, facts, ks=[2])
    before, after = found["retrieve"], found["retrieve + seen"]
    # Both lists begin 0, 1: alike, of one category, of 1 and 2 bits (4 and 2 of 8 events, with 1 added to each).
    assert [before[f"{name}@2"] for name in ("hr", "diversity", "categories", "novelty")] == [0.5, 0.0, 1.0, 1.5]
    # User 0 loses item 3, which stood behind; user 1 loses item 1 and gets item 2: orthogonal, two categories, 3 bits.
    assert [after[f"{name}@2"] for name in ("hr", "diversity", "categories", "novelty")] == [0.5, 0.5, 1.5, 1.75]
    assert (before["coverage@2"], after["coverage@2"]) == (0.5, 0.75)
    assert "auc" in before
    assert "auc" not in after


def test_accuracy_is_that_of_the_reordered_list() -> None:
    stage, data, facts = by_hand()
    backwards = rule(lambda ranking, k: np.tile(np.arange(4)[::-1], (2, 1)))
    found = measure({"rank": stage}, {"backwards": backwards}, data, facts, ks=[1, 2, 4])["rank + backwards"]
    assert [found[f"hr@{k}"] for k in (1, 2, 4)] == [0.0, 0.5, 1.0]  # item 2 is second now, item 0 last
    assert found["mrr@4"] == (1 / 2 + 1 / 4) / 2


def test_every_cut_asks_the_rule_anew() -> None:
    stage, data, facts = by_hand()
    cap = CategoryCap(CategoryCap.Config(cap=1))
    # For k = 1 the cap never binds; for k = 2 item 3, which is free, comes before items 1 and 2.
    assert reorder(cap, stage, data, facts, 1, 4).tolist() == [[0], [0]]
    assert reorder(cap, stage, data, facts, 2, 4).tolist() == [[0, 3], [0, 3]]


def test_a_rule_chooses_from_the_candidates_or_from_k_where_that_is_more() -> None:
    stage, data, facts = by_hand()
    asked = []
    spy = rule(lambda ranking, k: asked.append((ranking.rows.shape[1], k)) or np.tile(np.arange(k), (2, 1)))
    measure({"rank": stage}, {"spy": spy}, data, facts, ks=[1, 3], candidates=2)
    assert asked == [(2, 1), (3, 3)]
    assert (list_length([5, 10], 0), list_length([5, 200], 0), list_length([5, 10], 20)) == (100, 200, 20)


def test_a_rule_that_drops_leaves_a_shorter_list() -> None:
    stage, data, facts = by_hand()
    one = rule(lambda ranking, k: np.array([[-1, 2, -1], [-1, -1, -1]]))
    assert reorder(one, stage, data, facts, 3, 4).tolist() == [[2, -1, -1], [-1, -1, -1]]
    found = measure({"rank": stage}, {"one": one}, data, facts, ks=[3])["rank + one"]
    assert (found["hr@3"], found["diversity@3"], found["categories@3"], found["novelty@3"]) == (0.5, 0.0, 1.0, 1.5)


@pytest.mark.parametrize("answer", [lambda *_: 1 / 0, lambda *_: np.full((2, 2), 9), lambda *_: np.zeros(3)])
def test_a_rule_that_fails_is_named(answer: Callable[[RankedCandidates, int], Any]) -> None:
    with pytest.raises(PluginError, match="rule 'made' failed"):
        reorder(rule(answer), *by_hand(), k=2, depth=4)


def test_the_size_of_user_batches_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, data, facts = by_hand()
    together = reorder(Seen(Seen.Config()), stage, data, facts, 4, 4)
    monkeypatch.setattr(rules, "_USERS", 1)
    assert reorder(Seen(Seen.Config()), stage, data, facts, 4, 4).tolist() == together.tolist()


def test_categories_are_optional() -> None:
    stage, data, facts = by_hand()
    plain = ItemFacts(facts.vectors, NO_CATEGORIES, facts.popularity)
    assert not [name for name in measure({"rank": stage}, {}, data, plain, ks=[2])["rank"] if "categories" in name]


def test_facts_come_from_the_items_and_the_network() -> None:
    lists = [["b", "a"], [], None, ["a", None, "a"], ["c"]]
    items = pl.DataFrame({"categories": pl.Series(lists, dtype=pl.List(pl.String)), "popularity": range(5)})
    network: Any = torch.nn.Module()
    network.items = lambda: torch.eye(5)
    facts = ItemFacts.of(items, network)
    assert (facts.categories.offsets.tolist(), facts.categories.codes.tolist()) == ([0, 2, 2, 2, 3, 4], [0, 1, 0, 2])
    assert (facts.vectors.tolist(), facts.popularity.tolist()) == (np.eye(5).tolist(), [0, 1, 2, 3, 4])


@pytest.fixture
def trained(host: PluginHost, checkerboard: Board) -> SimpleNamespace:
    """An untrained ranking model on the checkerboard, whose numbers are as good as any."""
    spec, training, validation = checkerboard
    cls = host.model("tiny_ranking")
    torch.manual_seed(1)
    model = cls(cls.Config(), spec)
    popularity = np.bincount(training.items, minlength=spec.items)
    given = {"candidates": 12, "baselines": counted_baselines(training, spec.items)}
    network = model.network()
    facts = ItemFacts(network.items().detach().numpy(), NO_CATEGORIES, popularity)
    return SimpleNamespace(model=model, network=network, data=validation, given=given, facts=facts)


def test_the_stages_keep_the_metrics_that_evaluate_gives_them(trained: SimpleNamespace) -> None:
    ks = [1, 5, 10]
    plain = evaluate_stages(trained.model, trained.network, trained.data, ks=ks, **trained.given)
    stages = rank_targets(trained.model, trained.network, trained.data, longest=list_length(ks, 12), **trained.given)
    found = measure(stages, {"diversity": Diversity(Diversity.Config())}, trained.data, trained.facts, ks=ks)
    assert list(found) == ["popularity", "transitions", "retrieve", "rank", "rank + diversity"]
    for stage, metrics in plain.items():
        assert {name: found[stage][name] for name in metrics} == metrics


def test_a_user_who_asks_often_counts_once_in_what_goes_beyond_accuracy(trained: SimpleNamespace) -> None:
    stages = rank_targets(trained.model, trained.network, trained.data, longest=20, **trained.given)
    alone, last = (
        measure({"rank": part(stages["rank"], users)}, {}, trained.data.take(users), trained.facts, ks=[5])["rank"]
        for users in (np.array([0]), np.array([1]))
    )
    users = np.array([0, 1, 1])
    data = dataclasses.replace(trained.data.take(np.arange(3)), owners=np.array([0, 1, 1]))
    same = part(stages["rank"], users)
    found = measure(
        {"rank": dataclasses.replace(same, ranks=np.ones(len(data.target_items)))}, {}, data, trained.facts, ks=[5]
    )
    for name in ("diversity@5", "novelty@5"):
        assert found["rank"][name] == pytest.approx((alone[name] + last[name]) / 2)


def part(stage: StageRanks, users: np.ndarray) -> StageRanks:
    """Takes some users' lists, one target each."""
    return StageRanks(np.ones(len(users)), stage.lists[users], stage.scores[users], stage.ranked[users])


def test_a_rule_that_changes_nothing_keeps_every_metric_of_the_last_stage(trained: SimpleNamespace) -> None:
    ks = [1, 5, 10, 20]  # the last is longer than the candidates
    stages = rank_targets(trained.model, trained.network, trained.data, longest=20, **trained.given)
    idle = Diversity(Diversity.Config(trade_off=1.0))
    found = measure(stages, {"idle": idle}, trained.data, trained.facts, ks=ks, candidates=12)
    same = {name: value for name, value in found["rank"].items() if name != "auc"}
    assert found["rank + idle"] == pytest.approx(same)


def test_diversity_makes_lists_more_various(trained: SimpleNamespace) -> None:
    stages = rank_targets(trained.model, trained.network, trained.data, longest=20, **trained.given)
    found = measure(
        stages, {"mmr": Diversity(Diversity.Config(trade_off=0.2))}, trained.data, trained.facts, ks=[5], candidates=20
    )
    assert found["rank + mmr"]["diversity@5"] > found["rank"]["diversity@5"] + 0.05
