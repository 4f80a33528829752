"""Shadows are asked behind the answers; what there is no time for is dropped, and everything is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.answers import Answers
from honeyguide.server.serving.histories import InlineHistory, UserInput
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.plan import PipelineOptions
from honeyguide.server.serving.queries import RecommendQuery
from honeyguide.server.serving.shadows import Shadows

QUERIES = [RecommendQuery(UserInput(None, InlineHistory([f"item-{n}"]))) for n in range(3)]
IDS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def bundle(shared_repository: Path, host: PluginHost) -> LoadedBundle:
    return load_bundle(shared_repository / "tiny" / "1", host, Runtime(1, 1))


def served(name: str, bundle: Callable[[], LoadedBundle]) -> ServedPipeline:
    return ServedPipeline(PipelineOptions(name, "tiny"), bundle, None, Metrics(), 64)


@pytest.fixture
def answers(bundle: LoadedBundle) -> Answers:
    ((_, given),) = served("home", lambda: bundle).recommend_parts(QUERIES)
    return given


def counted(metrics: Metrics, outcome: str, shadow: str = "trial") -> float:
    labels = {"pipeline": "home", "shadow": shadow, "outcome": outcome}
    return metrics.registry.get_sample_value("honeyguide_shadow_answers_total", labels) or 0.0


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_shadow_is_scored_and_compared_with_what_was_answered(bundle: LoadedBundle, answers: Answers) -> None:
    metrics = Metrics()
    shadows = Shadows(metrics)
    shadows.offer("home", served("trial", lambda: bundle), QUERIES, answers, IDS)
    wait_for(lambda: counted(metrics, "scored") == 3)
    shadows.close()
    labels = {"pipeline": "home", "shadow": "trial"}
    assert metrics.registry.get_sample_value("honeyguide_shadow_overlap_sum", labels) == 3.0  # the same model
    assert counted(metrics, "dropped") == counted(metrics, "failed") == 0


def test_a_shadow_that_fails_or_has_no_model_is_counted(bundle: LoadedBundle, answers: Answers) -> None:
    def broken() -> LoadedBundle:
        raise RuntimeError("no")

    metrics = Metrics()
    shadows = Shadows(metrics)
    shadows.offer("home", served("trial", broken), QUERIES, answers, IDS)
    shadows.offer("home", served("other", lambda: bundle), QUERIES, answers, IDS)
    wait_for(lambda: counted(metrics, "failed") == 3 and counted(metrics, "scored", "other") == 3)
    shadows.close()


def test_nothing_is_computed_while_callers_wait(bundle: LoadedBundle, answers: Answers) -> None:
    metrics = Metrics()
    shadows = Shadows(metrics, busy=lambda: True)
    shadows.offer("home", served("trial", lambda: bundle), QUERIES, answers, IDS)
    assert counted(metrics, "dropped") == 3
    shadows.close()


def test_a_full_queue_holds_nobody_up(answers: Answers) -> None:
    gate: Any = threading.Event()

    def slow() -> LoadedBundle:
        gate.wait(10)
        raise RuntimeError("late")

    metrics = Metrics()
    shadows = Shadows(metrics)
    start = time.monotonic()
    for _ in range(100):
        shadows.offer("home", served("trial", slow), QUERIES, answers, IDS)
    assert time.monotonic() - start < 1
    assert counted(metrics, "dropped") >= 3 * 80
    gate.set()
    shadows.close()
    shadows.offer("home", served("trial", slow), QUERIES, answers, IDS)  # after the stop
