"""A bundle whose graph scores the whole catalogue answers whatever one with vectors does, without an index."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from bundles import TINY_PLUGINS, make_bundle, make_joint_bundle, rewrite_manifest
from shared import make_once
from tiny_scores import TinyScores, TinyStrangers

from honeyguide import answers
from honeyguide.sdk.errors import BundleError, ConfigError, NoNeighbours
from honeyguide.sdk.host import ENTRY_POINT_GROUP, PluginHost
from honeyguide.sdk.manifest import NEIGHBOURS, read_manifest
from honeyguide.server import open_repository
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.retrieval import Limits
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.bundles.scoring import ScoringBundle
from honeyguide.server.local.recommender import LocalRecommender
from honeyguide.v1.recommender_service_pb2 import SimilarItemsRequest

pytestmark = pytest.mark.slow(12)

ITEMS = 60
RUNTIME = Runtime(1, 1)
PIPELINES: dict[str, dict[str, Any]] = {
    "default": {"model": "scores"},
    "unranked": {"model": "scores", "rank": False},
    "strangers": {"model": "strangers"},
    "mixed": {"model": "mixed"},
    "capped": {"model": "scores", "rank": False, "rules": [{"name": "category_cap", "options": {"cap": 1}}]},
    "disliking": {"model": "scores", "rank": False, "negative_types": ["bad"], "negative_weight": 5.0},
    "split": {"model": "scores", "arms": {"strangers": 50}},
}
HISTORY = ["item-3", "item-5"]


@pytest.fixture(scope="module")
def host() -> PluginHost:
    """Offers the models of this module too."""
    tiny = EntryPoint("tiny_scores", "tiny_scores", ENTRY_POINT_GROUP)
    return PluginHost.load([*entry_points(group=ENTRY_POINT_GROUP), *TINY_PLUGINS, tiny])


@pytest.fixture(scope="module")
def scoring_repository(shared_repository: Path, host: PluginHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of "scores", "strangers", and "mixed", a joint ranker over "scores" and "tiny" with its vectors."""

    def make(folder: Path) -> None:
        shutil.copytree(shared_repository / "tiny", folder / "tiny")
        make_bundle(folder, "scores", model=TinyScores)
        make_bundle(folder, "strangers", model=TinyStrangers)
        make_joint_bundle(folder, "mixed", retrievers=[("tiny", 1), ("scores", 1)], host=host)

    return make_once(tmp_path_factory, "scoring", make)


@pytest.fixture
def recommender(scoring_repository: Path, host: PluginHost, tmp_path: Path) -> Iterator[LocalRecommender]:
    with open_repository(scoring_repository, events=tmp_path / "local.db", pipelines=PIPELINES, plugins=host) as opened:
        yield opened


@pytest.fixture(scope="module")
def table() -> np.ndarray[Any, Any]:
    """(items, items) what each item says of each, as `make_bundle` draws it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = TinyScores(TinyScores.Config(), _spec()).network().table.weight  # type: ignore[union-attr, operator]  # untyped
        torch.nn.init.normal_(weights, std=0.5)
    return weights.detach().numpy()[1:]  # type: ignore[no-any-return]  # as above


def _spec() -> Any:
    from honeyguide.sdk import DataSpec

    return DataSpec(items=ITEMS, repeats=False)


def ids(answer: Any) -> list[str]:
    return [item.item_id for item in answer]


def best(scores: np.ndarray[Any, Any], *without: int) -> list[str]:
    return [f"item-{row}" for row in np.argsort(-scores, kind="stable") if row not in without]


def test_the_bundle_has_neither_vectors_nor_index_and_says_so(scoring_repository: Path) -> None:
    manifest = read_manifest(scoring_repository / "scores" / "1")
    assert manifest.scores_catalogue
    assert (manifest.dimension, manifest.index, manifest.ranks, manifest.explains) == (0, None, True, True)
    assert set(manifest.files) == {"explain.onnx", "items.parquet", "neighbours.npy", "rank.onnx", "user.onnx"}
    assert manifest.proof["item_scores/max_abs_difference"] < 1e-5
    assert manifest.proof["retrieve/ndcg@10/difference"] == 0
    assert set(read_manifest(scoring_repository / "strangers" / "1").files) == {"items.parquet", "user.onnx"}


def test_answers_are_the_best_scores_less_what_was_seen_and_filtered(
    recommender: LocalRecommender, table: np.ndarray[Any, Any]
) -> None:
    scores = table[[3, 5]].mean(0)
    found = recommender.recommend(history=HISTORY, pipeline="strangers", k=7)
    assert ids(found)[:3] != HISTORY
    plain = recommender.recommend(history=HISTORY, pipeline="unranked", k=7)
    assert ids(plain) == best(scores, 3, 5)[:7]
    assert [item.score for item in plain] == pytest.approx(np.sort(np.delete(scores, [3, 5]))[::-1][:7], abs=1e-5)
    seen = recommender.recommend(history=HISTORY, pipeline="unranked", k=ITEMS, drop_seen=False)
    assert ids(seen) == best(scores)
    odd = recommender.recommend(history=HISTORY, pipeline="unranked", k=5, any_categories=["odd"], exclude=["item-1"])
    assert ids(odd) == best(scores, 1, 3, 5, *range(0, ITEMS, 2))[:5]
    allowed = recommender.recommend(history=HISTORY, pipeline="unranked", k=2, allow=["item-2", "item-4", "item-3"])
    assert ids(allowed) == [item for item in best(scores) if item in ("item-2", "item-4")]
    capped = recommender.recommend(history=HISTORY, pipeline="capped", k=2)
    assert len({int(item.removeprefix("item-")) % 2 for item in ids(capped)}) == 2


def test_the_ranker_orders_what_the_scores_found(recommender: LocalRecommender, table: np.ndarray[Any, Any]) -> None:
    scores = table[[3, 5]].mean(0)
    found = sorted(best(scores, 3, 5)[:20], key=lambda item: -scores[row(item)] - row(item))
    assert ids(recommender.recommend(history=HISTORY, k=20)) == found


def row(item: str) -> int:
    return int(item.removeprefix("item-"))


def test_given_candidates_are_ranked_by_their_scores(
    recommender: LocalRecommender, table: np.ndarray[Any, Any]
) -> None:
    scores = table[[3, 5]].mean(0)
    asked = ["item-9", "item-3", "item-40", "nowhere"]
    ranking = recommender.rank(asked, history=HISTORY, pipeline="unranked")
    assert ids(ranking) == [item for item in best(scores) if item in asked]
    assert [item.score for item in ranking] == pytest.approx([scores[row(item)] for item in ids(ranking)], abs=1e-5)


def test_explanations_name_the_history(recommender: LocalRecommender) -> None:
    explained = recommender.recommend(history=HISTORY, explain=True, k=3)
    assert all({because.item_id for because in item.because_items} <= set(HISTORY) for item in explained)
    assert any(item.because_items for item in explained)


def test_similar_items_are_the_models_own_neighbours(
    recommender: LocalRecommender, table: np.ndarray[Any, Any]
) -> None:
    near = best(table[7], 7)[:8]
    assert ids(recommender.similar_items("item-7", k=20)) == near  # it keeps eight
    assert ids(recommender.similar_items("item-7", k=2)) == near[:2]
    assert ids(recommender.similar_items("item-7", k=2, exclude=near[:1])) == near[1:3]
    even = recommender.similar_items("item-7", k=20, any_categories=["even"])
    assert ids(even) == [item for item in near if row(item) % 2 == 0]
    with pytest.raises(NoNeighbours, match=r"'strangers' has neither item vectors nor neighbours.*another model"):
        recommender.similar_items("item-7", pipeline="strangers")


async def test_over_grpc_no_neighbours_are_a_failed_precondition(start: Any, scoring_repository: Path) -> None:
    async with start(scoring_repository, pipelines=PIPELINES) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.recommender.SimilarItems(SimilarItemsRequest(item_id="item-7", pipeline="strangers"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "NO_NEIGHBOURS" in str(caught.value.trailing_metadata())


def test_a_stored_user_is_read_once_and_an_event_counts_at_once(
    recommender: LocalRecommender, table: np.ndarray[Any, Any]
) -> None:
    recommender.record([answers.Event("known", item, time_ms=place) for place, item in enumerate(HISTORY)])
    first = recommender.recommend("known", pipeline="unranked", k=5)
    assert ids(recommender.recommend("known", pipeline="unranked", k=5)) == ids(first)  # from the cache, unharmed
    assert ids(first) == best(table[[3, 5]].mean(0), 3, 5)[:5]
    recommender.record([answers.Event("known", "item-8", time_ms=9)])
    then = recommender.recommend("known", pipeline="unranked", k=5)
    assert ids(then) == best(table[[3, 5, 8]].mean(0), 3, 5, 8)[:5]


def test_what_is_disliked_takes_its_neighbours_down(recommender: LocalRecommender, table: np.ndarray[Any, Any]) -> None:
    history = answers.History([*HISTORY, "item-7"], event_types=["view", "view", "bad"])
    found = ids(recommender.recommend(history=history, pipeline="disliking", k=ITEMS))
    scores = table[[3, 5]].mean(0)
    pushed = scores.copy()
    for item in [7, *map(row, best(table[7], 7)[:8])]:
        pushed[item] -= 5.0 * np.abs(scores).max() * (1.0 if item == 7 else table[7, item])
    assert [item for item in found if item not in HISTORY] == best(pushed, 3, 5, 7)


def test_it_retrieves_for_a_joint_ranker_beside_one_with_vectors(recommender: LocalRecommender) -> None:
    answer = recommender.recommend(history=HISTORY, pipeline="mixed", k=10)
    assert len(answer) == 10
    assert not answer.degraded
    assert {model.name for model in answer.models} == {"tiny", "scores", "mixed"}
    assert not recommender.recommend("nobody", pipeline="split").degraded


def test_a_rule_that_compares_vectors_is_refused_at_the_start(scoring_repository: Path, host: PluginHost) -> None:
    pipelines = {"p": {"model": "scores", "rules": [{"name": "diversity"}]}}
    with (
        pytest.raises(
            ConfigError, match=r"pipelines\.p, rule .diversity.: it compares item vectors, and model .scores. has none"
        ),
        open_repository(scoring_repository, pipelines=pipelines, plugins=host),
    ):
        pass


@pytest.fixture
def scores(scoring_repository: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to change."""
    return Path(shutil.copytree(scoring_repository / "scores" / "1", tmp_path / "scores" / "1"))


def test_users_kept_are_bounded_in_bytes(scores: Path, host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honeyguide.server.bundles.scoring._CACHED_BYTES", 4 * ITEMS * 3)
    bundle = load_bundle(scores, host, RUNTIME, cache_users=100)
    assert isinstance(bundle, ScoringBundle)
    assert bundle.cache._capacity == 3  # nothing public says it


def test_odd_neighbours_are_refused(scores: Path, host: PluginHost) -> None:
    import hashlib

    odd = np.load(scores / NEIGHBOURS)
    odd["row"][3, 0] = ITEMS
    np.save(scores / NEIGHBOURS, odd)
    manifest = read_manifest(scores)
    digest = hashlib.sha256((scores / NEIGHBOURS).read_bytes()).hexdigest()
    rewrite_manifest(scores, files={**manifest.files, NEIGHBOURS: digest})
    with pytest.raises(BundleError, match="the neighbours are none of its 60 items"):
        load_bundle(scores, host, RUNTIME)


def test_its_scores_are_not_changed_by_a_search(scoring_repository: Path, host: PluginHost) -> None:
    repository = Repository(scoring_repository, host, RUNTIME)
    bundle = repository.pin("scores", 1).retrievers[0]
    given = np.random.default_rng(0).standard_normal((2, ITEMS)).astype(np.float32)
    before = given.copy()
    found = bundle.retriever.search(given, Limits(2, ITEMS, np.array([4, 70])), np.array([3, 5]))
    np.testing.assert_array_equal(given, before)
    assert found.rows[0, :3].tolist() == [row for row in np.argsort(-given[0]) if row != 4][:3]
    assert found.rows[1].tolist() == [row for row in np.argsort(-given[1]) if row != 10][:5]
    with pytest.raises(ValueError, match="not finite"):
        bundle.retriever.search(np.full((1, ITEMS), np.nan, np.float32), Limits.none(1, ITEMS), np.array([3]))
