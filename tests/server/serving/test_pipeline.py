"""A pipeline answers each user as if alone, fills k where it can, and loses a failing part rather than the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.sdk import RankedCandidates, Rule
from honeyguide.sdk.errors import ItemNotFound
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.catalogue import ItemFilter
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.event_columns import InlineHistory
from honeyguide.server.serving.histories import UserInput
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.plan import PipelineOptions
from honeyguide.server.serving.queries import Answer, ItemSource, RankQuery, RecommendQuery, SimilarQuery

ITEMS = 60  # of the shared bundles: "item-0" is the most popular, categories are "even", "odd" and "first"


@pytest.fixture(scope="module")
def bundle(shared_repository: Path, host: PluginHost) -> LoadedBundle:
    return load_bundle(shared_repository / "tiny_ranker" / "1", host, Runtime(1, 1))


def pipeline(bundle: LoadedBundle, **options: Any) -> ServedPipeline:
    return ServedPipeline(PipelineOptions("p", "tiny_ranker", **options), lambda: bundle, None, Metrics(), 64)


def user(*rows: int) -> UserInput:
    return UserInput(None, InlineHistory([f"item-{row}" for row in rows]))


def rows(answer: Answer) -> list[int]:
    return [int(item.removeprefix("item-")) for item in answer.item_ids]


def _queries() -> list[RecommendQuery]:
    random = np.random.default_rng(0)
    return [
        RecommendQuery(
            user(*random.integers(0, ITEMS, int(random.integers(0, 40))).tolist()),
            k=int(random.integers(1, 61)),
            drop_seen=[None, True, False][user_number % 3],
            filter=[None, ItemFilter(any_categories=["odd"]), ItemFilter(exclude=["item-1", "nowhere"])][
                user_number % 3
            ],
        )
        for user_number in range(17)
    ]


def test_batch_equals_singles(bundle: LoadedBundle) -> None:
    asked = pipeline(bundle)
    for query, together in zip(_queries(), asked.recommend(_queries()), strict=True):
        (alone,) = asked.recommend([query])
        assert alone.item_ids == together.item_ids
        assert alone.sources == together.sources
        np.testing.assert_allclose(alone.scores, together.scores, rtol=1e-4, atol=1e-5)


def test_small_steps_equal_one_batch(bundle: LoadedBundle) -> None:
    steps = ServedPipeline(PipelineOptions("p", "tiny_ranker"), lambda: bundle, None, Metrics(), max_batch_rows=3)
    assert [a.item_ids for a in steps.recommend(_queries())] == [
        a.item_ids for a in pipeline(bundle).recommend(_queries())
    ]


def test_items_are_ordered_distinct_and_never_seen(bundle: LoadedBundle) -> None:
    (answer,) = pipeline(bundle).recommend([RecommendQuery(user(3, 5, 7), k=ITEMS)])
    assert sorted(rows(answer)) == sorted(set(range(ITEMS)) - {3, 5, 7})
    assert answer.scores == sorted(answer.scores, reverse=True)  # behind the ranked ones, too
    assert answer.titles[0] == f"Title {rows(answer)[0]}"
    assert answer.models == (("tiny_ranker", 1),)


def test_whole_history_masks_although_its_end_alone_is_encoded(bundle: LoadedBundle) -> None:
    seen = list(range(50))  # the network looks at 20
    (answer,) = pipeline(bundle).recommend([RecommendQuery(user(*seen), k=ITEMS)])
    assert sorted(rows(answer)) == list(range(50, ITEMS))


def test_k_items_come_when_k_exist(bundle: LoadedBundle) -> None:
    allow = ItemFilter(allow=[f"item-{i}" for i in range(20, 40)], exclude=["item-20"], any_categories=["odd"])
    (answer,) = pipeline(bundle).recommend([RecommendQuery(user(21, 23), k=8, filter=allow)])
    assert sorted(rows(answer)) == [25, 27, 29, 31, 33, 35, 37, 39]
    (empty,) = pipeline(bundle).recommend([RecommendQuery(user(1), k=8, filter=ItemFilter(any_categories=["nothing"]))])
    assert empty.item_ids == []


def test_ranking_orders_the_candidates_and_the_rest_keeps_its_place(bundle: LoadedBundle) -> None:
    query = RecommendQuery(user(3, 5), k=50)
    (retrieved,) = pipeline(bundle, rank=False).recommend([query])
    (ranked,) = pipeline(bundle, candidates=10).recommend([query])
    assert set(ranked.item_ids[:10]) == set(retrieved.item_ids[:10])
    assert ranked.item_ids[:10] != retrieved.item_ids[:10]
    assert ranked.item_ids[10:] == retrieved.item_ids[10:]
    assert ranked.scores == sorted(ranked.scores, reverse=True)


def test_unknown_user_gets_popular_items(bundle: LoadedBundle) -> None:
    (answer,) = pipeline(bundle).recommend([RecommendQuery(UserInput("nobody"), k=3)])
    assert rows(answer) == [0, 1, 2]
    assert answer.sources == [ItemSource.POPULAR] * 3
    assert answer.scores == sorted(answer.scores, reverse=True)


def test_history_of_unknown_items_is_counted_and_answered_with_popular_ones(bundle: LoadedBundle) -> None:
    inline = UserInput(None, InlineHistory(["nowhere", "nothing"]))
    (answer,) = pipeline(bundle).recommend([RecommendQuery(inline, k=2, filter=ItemFilter(exclude=["item-0"]))])
    assert (rows(answer), answer.unknown_history_items) == ([1, 2], 2)


@dataclass(frozen=True)
class _Options:
    pass


class Keep(Rule):
    """Keeps every second candidate, worst first."""

    name = "keep"
    Config = _Options

    def apply(self, ranking: RankedCandidates, k: int) -> np.ndarray:
        present = (ranking.rows >= 0).sum(1)
        places = np.arange(ranking.rows.shape[1])[::-1]
        return np.where((places < present[:, None]) & (places % 2 == 0), places, -1)


def _broken(answer: Callable[[RankedCandidates], Any]) -> Rule:
    class Broken(Rule):
        name = "broken"
        Config = _Options

        def apply(self, ranking: RankedCandidates, k: int) -> np.ndarray:
            return answer(ranking)

    return Broken(_Options())


def test_rule_chooses_from_more_than_k_and_what_it_drops_stays_away(bundle: LoadedBundle) -> None:
    query = RecommendQuery(user(3, 5), k=ITEMS)
    (before,) = pipeline(bundle).recommend([query])
    (after,) = pipeline(bundle, rules=(Keep(_Options()),)).recommend([query])
    assert after.item_ids == before.item_ids[::2][::-1]
    (short,) = pipeline(bundle, rules=(Keep(_Options()),)).recommend([dataclasses.replace(query, k=4)])
    assert short.item_ids == before.item_ids[:20:2][::-1][:4]  # of the 20 candidates the ranker was fitted on


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: 1 / 0,
        lambda ranking: np.zeros((1, 2), np.intp),  # a place twice
        lambda ranking: np.full((1, 1), ranking.rows.shape[1]),  # out of range
        lambda ranking: np.zeros(3),  # another shape
    ],
)
def test_failing_rule_degrades_the_answer(bundle: LoadedBundle, answer: Callable[[RankedCandidates], Any]) -> None:
    query = RecommendQuery(user(3, 5))
    (without,) = pipeline(bundle).recommend([query])
    (degraded,) = pipeline(bundle, rules=(_broken(answer),)).recommend([query])
    assert degraded.degraded_reasons == ("RULE_FAILED",)
    assert degraded.item_ids == without.item_ids


@pytest.mark.parametrize("failure", ["raises", "nan"])
def test_failing_ranker_degrades_to_the_retrieval_order(
    bundle: LoadedBundle, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = RecommendQuery(user(3, 5))
    (retrieved,) = pipeline(bundle, rank=False).recommend([query])
    monkeypatch.setattr(bundle, "rank", lambda *_: 1 / 0 if failure == "raises" else np.full((1, 20), np.nan))
    asked = pipeline(bundle)
    (degraded,) = asked.recommend([query])
    assert degraded.degraded_reasons == ("RANK_FAILED",)
    assert degraded.item_ids == retrieved.item_ids
    assert asked._metrics.degraded.labels("RANK_FAILED")._value.get() == 1
    (scored,) = asked.rank([RankQuery(query.user, retrieved.item_ids)])
    assert scored.degraded_reasons == ("RANK_FAILED",)
    assert scored.item_ids == retrieved.item_ids
    assert asked._metrics.degraded.labels("RANK_FAILED")._value.get() == 2


def test_rank_scores_the_callers_candidates_as_recommend_does(bundle: LoadedBundle) -> None:
    (best,) = pipeline(bundle).recommend([RecommendQuery(user(3, 5), k=20)])
    asked = [RankQuery(user(3, 5), [*sorted(best.item_ids), "nowhere"]), RankQuery(UserInput(), ["item-9", "item-4"])]
    ranked, popular = pipeline(bundle).rank(asked)
    assert ranked.item_ids == best.item_ids
    np.testing.assert_allclose(ranked.scores, best.scores, rtol=1e-4, atol=1e-5)
    assert ranked.unknown_item_ids == ("nowhere",)
    assert ranked.sources == [ItemSource.CANDIDATE] * 20
    assert popular.item_ids == ["item-4", "item-9"]


def test_similar_items_are_the_nearest_by_cosine(bundle: LoadedBundle) -> None:
    vectors = bundle.item_vectors / np.linalg.norm(bundle.item_vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors[7]
    expected = [row for row in np.argsort(-cosine).tolist() if row != 7 and row % 2][:5]
    odd = ItemFilter(any_categories=["odd"])
    neighbours, missing = pipeline(bundle).similar([SimilarQuery("item-7", 5, odd), SimilarQuery("nowhere")])
    assert isinstance(neighbours, Answer)
    assert rows(neighbours) == expected
    np.testing.assert_allclose(neighbours.scores, cosine[expected], rtol=1e-5)
    assert isinstance(missing, ItemNotFound)
