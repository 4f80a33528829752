"""Exports models that read the clock, and serves them: answers follow it, and what is kept of users does not lie."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from honeyguide.conformance.data import ITEMS, PLAIN, RICH, bundle_items, walks
from honeyguide.conformance.subject import Subject
from honeyguide.exporters import export_bundle
from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import Manifest
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.encoding import EncodedUsers

pytestmark = [pytest.mark.slow(25), pytest.mark.other_model]

HOST = PluginHost.load()
MONTH_MS = 30 * 86_400_000
CANDIDATES = np.tile(np.arange(ITEMS, dtype=np.int32), (1, 1))


@dataclass
class Served:
    """Bundle with its manifest, as a server holds it."""

    manifest: Manifest
    bundle: RetrievingBundle
    metrics: Metrics

    def vector(self, history: HistoryBatch) -> NDArray[np.float32]:
        """Returns a stored user's vector."""
        return EncodedUsers(["ann"], history, self.metrics).vectors(self.bundle)

    def ranked(self, history: HistoryBatch) -> NDArray[np.float32]:
        """Returns the ranker's scores of all items, of equal retrieval scores."""
        users = EncodedUsers(["ann"], history, self.metrics)
        scores = np.zeros((1, ITEMS, 1), np.float32)
        return self.bundle.rank(users.arrays(self.bundle), CANDIDATES, scores)

    def met(self, outcome: str) -> float:
        """Returns how many users were encoded or reused."""
        labels = {"model": self.manifest.name, "outcome": outcome}
        return self.metrics.registry.get_sample_value("honeyguide_users_total", labels) or 0.0


CASES: Mapping[str, tuple[str, dict[str, bool]]] = {
    "vectors": ("transformer", {"time_bias": True, "ranker_time": False}),
    "gap": ("attention_lstm", {"gap_to_now": True, "ranker_time": False}),
    "ranker": ("cf", {"ranker_time": True}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Served]:
    model, options = CASES[request.param]
    folder: Path = tmp_path_factory.mktemp("timed")
    with Subject(model, HOST) as subject:
        subject.config = replace(subject.config, **options)
        manifest = export_bundle(
            folder, "timed", model=subject.model(RICH), network=subject.network(RICH), plugin="honeyguide 0",
            metrics={}, candidates=ITEMS, items=bundle_items(), evaluation=walks(8, 60), host=HOST,
        )  # fmt: skip
    bundle = load_bundle(folder / "timed" / "1", HOST, Runtime(1, 1), cache_users=10)
    assert isinstance(bundle, RetrievingBundle)
    return request.param, Served(manifest, bundle, Metrics())


def at(months: int) -> HistoryBatch:
    """Returns one user, so many months after the newest event."""
    one = walks(3, 1).histories
    assert one.times_ms is not None
    return replace(one, request_times_ms=one.times_ms[-1:] + months * MONTH_MS)


def test_its_graphs_are_proven_and_take_what_the_clock_says(case: tuple[str, Served]) -> None:
    name, served = case
    assert {"user_vector/max_abs_difference", "scores/max_abs_difference"} <= set(served.manifest.proof)
    assert ("waits" if name == "gap" else "ages") in {spec.name for spec in served.manifest.inputs}


def test_vectors_follow_the_clock_where_they_may_and_only_then_nobody_is_kept(case: tuple[str, Served]) -> None:
    name, served = case
    now, later = (served.vector(at(months)) for months in (0, 2))
    kept = name == "ranker"
    assert np.array_equal(now, later) is kept
    assert served.bundle.cache.on is kept
    assert len(served.bundle.cache) == kept
    before = served.met("encoded"), served.met("reused")
    assert np.array_equal(served.vector(at(0)), now)
    after = served.met("encoded"), served.met("reused")
    again = (0, 1) if kept else (1, 0)  # encoded, reused
    assert (after[0] - before[0], after[1] - before[1]) == again


def test_ranking_follows_the_clock_where_it_may_also_for_users_who_are_kept(case: tuple[str, Served]) -> None:
    name, served = case
    served.vector(at(0))
    now, later = (served.ranked(at(months)) for months in (0, 2))
    assert np.array_equal(now, later) is (name != "ranker")


@pytest.mark.parametrize("model", ["attention_lstm", "cf", "content", "gru", "joint", "text", "transformer"])
def test_every_model_with_the_evidence_ranker_lays_out_ages_where_it_asks_for_them(model: str) -> None:
    with Subject(model, HOST) as subject:
        for wanted in (True, False):
            subject.config = replace(subject.config, ranker_time=wanted)
            assert ("ages" in subject.model(RICH).encode(at(1))) is wanted
            assert "ages" not in subject.model(PLAIN).encode(at(1))
