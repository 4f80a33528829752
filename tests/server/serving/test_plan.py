"""What a pipeline does with a bundle is worked out once, from its options and the bundle's manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honeyguide.rules.diversity import Diversity
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.serving.plan import PipelineOptions, Plan


@pytest.fixture(scope="module")
def bundles(shared_joint_repository: Path, host: PluginHost) -> dict[str, LoadedBundle]:
    repository = Repository(shared_joint_repository, host, Runtime(1, 1))
    repository.load_newest()
    return dict(repository.serving)


RULES = (Diversity(Diversity.Config()),)


@pytest.mark.parametrize(
    ("model", "options", "models", "ranker", "candidates", "stages"),
    [
        ("tiny", {}, ["tiny"], None, 0, ["retrieve"]),
        ("tiny", {"rank": True}, ["tiny"], None, 0, ["retrieve"]),
        ("tiny", {"rules": RULES}, ["tiny"], None, 60, ["retrieve", "diversity"]),  # 100, of the 60 there are
        ("tiny", {"rules": RULES, "candidates": 30}, ["tiny"], None, 30, ["retrieve", "diversity"]),
        ("tiny_ranker", {}, ["tiny_ranker"], "tiny_ranker", 20, ["retrieve", "rank"]),
        ("tiny_ranker", {"candidates": 7}, ["tiny_ranker"], "tiny_ranker", 7, ["retrieve", "rank"]),
        ("tiny_ranker", {"rank": False}, ["tiny_ranker"], None, 0, ["retrieve"]),
        ("joint", {}, ["tiny", "tiny_ranker", "joint"], "joint", 10, ["retrieve", "rank"]),
        ("joint", {"rank": False}, ["tiny"], None, 0, ["retrieve"]),
    ],
)
def test_plan_follows_from_options_and_manifest(
    bundles: dict[str, LoadedBundle],
    model: str,
    options: dict[str, Any],
    models: list[str],
    ranker: str | None,
    candidates: int,
    stages: list[str],
) -> None:
    plan = Plan.of(PipelineOptions("p", model, **options), bundles[model])
    assert plan.models == tuple((name, 1) for name in models)
    assert [bundle.key for bundle in plan.bundles] == list(plan.models)
    assert (plan.ranker and plan.ranker.manifest.name) == ranker
    assert (plan.candidate_count, list(plan.stages)) == (candidates, stages)
    assert [part.manifest.name for part in plan.retrievers] == [name for name in models if name != "joint"]


def test_seen_items_are_dropped_as_the_data_or_the_options_say(bundles: dict[str, LoadedBundle]) -> None:
    drops = [Plan.of(PipelineOptions("p", "tiny", drop_seen=drop), bundles["tiny"]).drop_seen for drop in (None, False)]
    assert drops == [True, False]
