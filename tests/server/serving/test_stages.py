"""Answers go without a stage that fails, is late, or failed too often; they say so, and it comes back by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.cold_items.item import ColdItem
from honeyguide.server.cold_items.placing import ColdItems
from honeyguide.server.cold_items.store import ColdItemStore
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.circuit import CircuitOptions
from honeyguide.server.serving.histories import InlineHistory, UserInput
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.plan import PipelineOptions
from honeyguide.server.serving.queries import Answer, ItemSource, RankQuery, RecommendQuery

QUICK = CircuitOptions(failures=3, window_seconds=60.0, rest_seconds=0.2)


@pytest.fixture(scope="module")
def bundle(shared_repository: Path, host: PluginHost) -> RetrievingBundle:
    loaded = load_bundle(shared_repository / "tiny_ranker" / "1", host, Runtime(1, 1))
    assert isinstance(loaded, RetrievingBundle)
    return loaded


def pipeline(bundle: RetrievingBundle, metrics: Metrics | None = None, **options: Any) -> ServedPipeline:
    given = PipelineOptions("p", "tiny_ranker", **({"circuit": QUICK} | options))
    return ServedPipeline(given, lambda: bundle, None, metrics or Metrics(), 64)


def query(**given: Any) -> RecommendQuery:
    return RecommendQuery(UserInput(None, InlineHistory(["item-3", "item-5"])), **given)


def fails(*_: Any) -> Any:
    raise RuntimeError("no")


def is_late(real: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """As a graph is whose run is ended when its time is over."""

    def run(*arguments: Any) -> Any:
        limit, end = arguments[-1], time.monotonic() + seconds
        while time.monotonic() < end:
            if limit is not None and limit.passed:
                raise RuntimeError("terminated")
            time.sleep(0.001)
        return real(*arguments)

    return run


def reasons(served: ServedPipeline, asked: RecommendQuery | None = None) -> tuple[str, ...]:
    (answer,) = served.recommend([asked or query()])
    return answer.degraded_reasons


def popular(answer: Answer) -> bool:
    return (
        answer.item_ids == [f"item-{n}" for n in (0, 1, 2, 4, 6, 7, 8, 9, 10, 11)]
        and answer.sources == [ItemSource.POPULAR] * 10
    )


def test_failing_retrieval_degrades_to_popular_items(bundle: RetrievingBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "read", fails)
    metrics = Metrics()
    served = pipeline(bundle, metrics)
    (answer,) = served.recommend([query()])
    assert popular(answer)
    assert answer.degraded_reasons == ("RETRIEVE_FAILED",)
    assert metrics.degraded.labels("RETRIEVE_FAILED")._value.get() == 1
    (scored,) = served.rank([RankQuery(query().user, ["item-9", "item-1", "item-30"])])
    assert (scored.item_ids, scored.degraded_reasons) == (["item-1", "item-9", "item-30"], ("RETRIEVE_FAILED",))


def test_a_ranker_that_is_late_leaves_the_retrievals_order_in_time(
    bundle: RetrievingBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (retrieved,) = pipeline(bundle, rank=False).recommend([query()])
    monkeypatch.setattr(bundle, "rank", is_late(bundle.rank, 5.0))
    start = time.monotonic()
    (answer,) = pipeline(bundle, budgets={"RANK": 0.05}).recommend([query()])
    assert time.monotonic() - start < 2
    assert (answer.item_ids, answer.degraded_reasons) == (retrieved.item_ids, ("RANK_LATE",))
    assert answer.source_model == retrieved.source_model


def test_retrieval_that_is_late_leaves_popular_items(bundle: RetrievingBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "read", is_late(bundle.read, 5.0))
    (answer,) = pipeline(bundle, budgets={"RETRIEVE": 0.05}).recommend([query()])
    assert popular(answer)
    assert answer.degraded_reasons == ("RETRIEVE_LATE",)


def test_what_is_done_in_time_is_as_without_a_budget(bundle: RetrievingBundle) -> None:
    (plain,) = pipeline(bundle).recommend([query()])
    (answer,) = pipeline(bundle, budgets={"RETRIEVE": 5.0, "RANK": 5.0}).recommend([query()])
    assert (answer.item_ids, answer.degraded_reasons) == (plain.item_ids, ())


def test_a_calls_deadline_holds_for_it_alone_and_opens_no_circuit(
    bundle: RetrievingBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "rank", is_late(bundle.rank, 0.15))
    metrics = Metrics()
    served = pipeline(bundle, metrics, budgets={"RANK": 5.0})
    for _ in range(QUICK.failures + 1):
        hurried = query(deadline=time.monotonic() + 0.1)
        mate, urgent, gone = served.recommend([query(), hurried, query(deadline=time.monotonic() - 1)])
        assert mate.degraded_reasons == ()
        assert urgent.degraded_reasons == gone.degraded_reasons == ("RANK_LATE",)
    assert metrics.registry.get_sample_value("honeyguide_circuit_open", {"pipeline": "p", "stage": "rank"}) is None


def test_a_circuit_opens_skips_probes_and_closes(bundle: RetrievingBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    served = pipeline(bundle, metrics)

    def shown(name: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"pipeline": "p", "stage": "rank"})

    with monkeypatch.context() as broken:
        broken.setattr(bundle, "rank", fails)
        assert [reasons(served) for _ in range(5)] == [("RANK_FAILED",)] * 3 + [("RANK_SKIPPED",)] * 2
        assert (shown("honeyguide_circuit_open"), shown("honeyguide_circuit_opened_total")) == (1, 1)
        time.sleep(0.25)
        assert [reasons(served) for _ in range(2)] == [("RANK_FAILED",), ("RANK_SKIPPED",)]  # the probe failed
    assert reasons(served) == ("RANK_SKIPPED",)
    time.sleep(0.25)
    assert [reasons(served) for _ in range(2)] == [(), ()]
    assert (shown("honeyguide_circuit_open"), shown("honeyguide_circuit_opened_total")) == (0, 1)


def test_being_late_again_and_again_opens_it_too(bundle: RetrievingBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "rank", is_late(bundle.rank, 5.0))
    served = pipeline(bundle, budgets={"RANK": 0.02}, circuit=CircuitOptions(failures=2))
    assert [reasons(served) for _ in range(3)] == [("RANK_LATE",), ("RANK_LATE",), ("RANK_SKIPPED",)]


def test_another_version_begins_with_a_closed_circuit(
    shared_newer: Path, shared_repository: Path, host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving: list[Any] = [load_bundle(shared_repository / "tiny" / "1", host, Runtime(1, 1))]
    served = ServedPipeline(PipelineOptions("p", "tiny", circuit=QUICK), lambda: serving[-1], None, Metrics(), 64)
    monkeypatch.setattr(serving[0], "read", fails)
    assert [reasons(served) for _ in range(4)] == [("RETRIEVE_FAILED",)] * 3 + [("RETRIEVE_SKIPPED",)]
    serving.append(load_bundle(shared_newer, host, Runtime(1, 1)))
    assert reasons(served) == ()
    serving.pop()
    assert reasons(served) == ("RETRIEVE_SKIPPED",)


def test_added_items_are_the_newest_where_retrieval_comes_to_no_end(
    placing_repository: Path, host: PluginHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placing = load_bundle(placing_repository / "placed" / "1", host, Runtime(1, 1))
    cold_items = ColdItems(ColdItemStore(tmp_path / "items.db"), 10)
    cold_items.add(placing)
    like = placing.item_vectors[5].tolist()
    cold_items.upsert([ColdItem("old", vectors={"image": like}), ColdItem("new")])
    options = PipelineOptions("p", "placed", circuit=QUICK, budgets={"RETRIEVE": 0.05})
    served = ServedPipeline(options, lambda: placing, None, Metrics(), 64, cold_items)

    def last(answer: Answer) -> tuple[str, ItemSource, tuple[str, ...]]:
        return answer.item_ids[-1], answer.sources[-1], answer.degraded_reasons

    assert last(*served.recommend([query()])) == ("old", ItemSource.NEW, ())
    reads = 0

    def counted(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        return is_late(fails, 5.0 if reads == 1 else 0.0)(*arguments)

    monkeypatch.setattr(placing, "read", counted)
    for reason in ("LATE", "FAILED", "FAILED", "SKIPPED"):
        assert last(*served.recommend([query()])) == ("new", ItemSource.NEW, (f"RETRIEVE_{reason}",))
    assert reads == 3
