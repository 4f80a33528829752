"""A joint pipeline ranks the union of what its retrievers found, every candidate scored by every one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.catalogue import ItemFilter
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.event_columns import InlineHistory
from honeyguide.server.serving.histories import UserInput
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.plan import PipelineOptions
from honeyguide.server.serving.queries import Answer, ItemSource, RankQuery, RecommendQuery, SimilarQuery

ITEMS = 60
MODELS = (("tiny", 1), ("tiny_ranker", 1), ("joint", 1))


@pytest.fixture(scope="module")
def served(shared_joint_repository: Path, host: PluginHost) -> Repository:
    repository = Repository(shared_joint_repository, host, Runtime(1, 1))
    repository.load_newest()
    return repository


@pytest.fixture
def joint(served: Repository) -> LoadedBundle:
    return served.get("joint")


def pipeline(bundle: LoadedBundle, **options: Any) -> ServedPipeline:
    return ServedPipeline(PipelineOptions("p", "m", **options), lambda: bundle, None, Metrics(), 64)


def user(*rows: int) -> UserInput:
    return UserInput(None, InlineHistory([f"item-{row}" for row in rows]))


def rows(answer: Answer) -> list[int]:
    return [int(item.removeprefix("item-")) for item in answer.item_ids]


def _naive(joint: LoadedBundle, history: list[int], count: int) -> tuple[list[int], np.ndarray]:
    """The union of each retriever's best unseen items, and what the ranker says of it, one item at a time."""
    given = user(*history)
    candidates: list[int] = []
    vectors = []
    for retriever in joint.retrievers:
        (alone,) = pipeline(retriever, rank=False).recommend([RecommendQuery(given, k=count)])
        candidates += [row for row in rows(alone) if row not in candidates]
        batch = _encoded(retriever, history)
        vectors.append(retriever.read(batch)[0][0])
    sources = np.array(
        [[v @ r.item_vectors[row] for v, r in zip(vectors, joint.retrievers, strict=True)] for row in candidates]
    )
    scores = joint.rank(_encoded(joint, history), np.array([candidates], np.int32), sources[None].astype(np.float32))[0]
    return candidates, scores


def _encoded(bundle: LoadedBundle, history: list[int]) -> Any:
    return bundle.encode(HistoryBatch.from_lists([history]))


def test_union_is_ranked_with_every_source_s_score(joint: LoadedBundle) -> None:
    history = [3, 5, 8, 13]
    candidates, scores = _naive(joint, history, 10)
    assert len(candidates) > 10  # else the second retriever would add nothing
    (answer,) = pipeline(joint).recommend([RecommendQuery(user(*history), k=len(candidates))])
    order = np.argsort(-scores, kind="stable")
    assert rows(answer) == [candidates[i] for i in order]
    np.testing.assert_allclose(answer.scores, scores[order], rtol=1e-4, atol=1e-5)
    assert (answer.models, answer.source_model) == (MODELS, "joint")
    assert set(answer.sources) == {ItemSource.RETRIEVED}


def test_behind_the_ranked_the_first_retriever_s_order_goes_on(joint: LoadedBundle) -> None:
    query = RecommendQuery(user(3, 5), k=ITEMS)
    (answer,) = pipeline(joint).recommend([query])
    (first,) = pipeline(joint.retrievers[0]).recommend([query])
    union, _ = _naive(joint, [3, 5], 10)
    assert sorted(rows(answer)) == sorted(set(range(ITEMS)) - {3, 5})
    assert set(rows(answer)[: len(union)]) == set(union)
    assert rows(answer)[len(union) :] == [row for row in rows(first) if row not in union]
    assert answer.scores == sorted(answer.scores, reverse=True)


def test_batch_equals_singles(joint: LoadedBundle) -> None:
    random = np.random.default_rng(0)
    filters = [None, ItemFilter(any_categories=["first"]), ItemFilter(exclude=["item-1"], any_categories=["odd"])]
    queries = [
        RecommendQuery(
            user(*random.integers(0, ITEMS, int(random.integers(0, 30))).tolist()),
            k=int(random.integers(1, 61)),
            filter=filters[number % 3],
        )
        for number in range(17)
    ]
    asked = pipeline(joint)
    for query, together in zip(queries, asked.recommend(queries), strict=True):
        (alone,) = asked.recommend([query])
        assert alone.item_ids == together.item_ids
        assert alone.sources == together.sources
        np.testing.assert_allclose(alone.scores, together.scores, rtol=1e-4, atol=1e-5)


def test_rank_scores_the_callers_candidates_as_recommend_does(joint: LoadedBundle) -> None:
    (best,) = pipeline(joint).recommend([RecommendQuery(user(3, 5), k=10)])
    ranked, popular = pipeline(joint).rank(
        [RankQuery(user(3, 5), [*sorted(best.item_ids), "nowhere"]), RankQuery(UserInput(), ["item-9", "item-4"])]
    )
    assert ranked.item_ids == best.item_ids
    np.testing.assert_allclose(ranked.scores, best.scores, rtol=1e-4, atol=1e-5)
    assert (ranked.models, ranked.source_model, ranked.unknown_item_ids) == (MODELS, "joint", ("nowhere",))
    assert popular.item_ids == ["item-4", "item-9"]


@pytest.mark.parametrize("broken", ["ranker", "second retriever"])
def test_failing_ranking_leaves_the_first_retriever_s_order(
    joint: LoadedBundle, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = RecommendQuery(user(3, 5))
    (first,) = pipeline(joint.retrievers[0]).recommend([query])
    failing, method = (joint, "rank") if broken == "ranker" else (joint.retrievers[1], "read")
    monkeypatch.setattr(failing, method, lambda *_: 1 / 0)
    (degraded,) = pipeline(joint).recommend([query])
    assert (degraded.item_ids, degraded.scores) == (first.item_ids, first.scores)
    assert (degraded.degraded_reasons, degraded.models, degraded.source_model) == (("RANK_FAILED",), MODELS, "tiny")
    (scored,) = pipeline(joint).rank([RankQuery(query.user, first.item_ids)])
    assert (scored.item_ids, scored.degraded_reasons, scored.source_model) == (first.item_ids, ("RANK_FAILED",), "tiny")


def test_without_its_ranker_the_first_retriever_answers_alone(joint: LoadedBundle) -> None:
    query = RecommendQuery(user(3, 5), k=30)
    (alone,) = pipeline(joint, rank=False).recommend([query])
    (first,) = pipeline(joint.retrievers[0]).recommend([query])
    assert (alone.item_ids, alone.scores) == (first.item_ids, first.scores)
    assert (alone.models, alone.source_model) == ((("tiny", 1),), "tiny")


def test_similar_items_are_the_first_retriever_s(joint: LoadedBundle) -> None:
    query = SimilarQuery("item-7", 5)
    assert pipeline(joint).similar([query]) == pipeline(joint.retrievers[0]).similar([query])


def test_the_size_of_the_parts_that_are_looked_up_changes_nothing(
    joint: LoadedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [RecommendQuery(user(*range(n, n + 4))) for n in range(5)]
    together = pipeline(joint).recommend(queries)
    monkeypatch.setattr("honeyguide.server.serving.ranking._CELLS", 500)
    assert [a.item_ids for a in pipeline(joint).recommend(queries)] == [a.item_ids for a in together]
