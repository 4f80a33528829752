"""Whoever asks is told which items of the history carried an answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from honeyguide.sdk import HistoryBatch, RankedCandidates, Rule
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.catalogue import Catalogue, ItemFilter
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.event_columns import InlineHistory
from honeyguide.server.serving.explanation import explain
from honeyguide.server.serving.histories import UserInput
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.plan import PipelineOptions
from honeyguide.server.serving.queries import ItemSource, RecommendQuery


class Explaining:
    """Gives each event of a history the share that stands in a table."""

    def __init__(self, shares: dict[int, float]) -> None:
        self.manifest = SimpleNamespace(max_length=4)
        self.catalogue = Catalogue(
            [f"item-{row}" for row in range(9)], [f"Title {row}" for row in range(9)], np.ones(9, np.int64), {}
        )
        self.shares, self.batches = shares, 0

    def recent(self, histories: HistoryBatch) -> HistoryBatch:
        return histories.newest(4)

    def encode(self, recent: HistoryBatch) -> dict[str, np.ndarray]:
        return {"tokens": recent.tokens(4)}

    def explain(self, arrays: Any, rows: np.ndarray) -> np.ndarray:
        self.batches += 1
        of_event = np.vectorize(lambda token: self.shares.get(token - 1, 0.0))(arrays["tokens"])
        return np.repeat(of_event[:, None, :], rows.shape[1], axis=1).astype(np.float32)


def _because(shares: dict[int, float], *users: list[int], width: int = 1) -> list[list[tuple[str, ...]]]:
    bundle: Any = Explaining(shares)
    names = explain(bundle, HistoryBatch.from_lists(users), np.zeros((len(users), width), np.int32))
    assert all(
        title == item_id.replace("item-", "Title ") for user in names for item in user for item_id, title in item
    )
    return [[tuple(item_id for item_id, _ in item) for item in user] for user in names]


def test_at_most_three_items_are_named_the_largest_share_first() -> None:
    assert _because({1: 0.2, 2: 0.5, 3: 0.1, 4: 0.2}, [3, 1, 2, 4]) == [[("item-2", "item-1", "item-4")]]


def test_an_item_met_twice_is_named_once_with_both_shares() -> None:
    assert _because({1: 0.3, 2: 0.4}, [1, 2, 1], [2]) == [[("item-1", "item-2")], [("item-2",)]]


def test_what_carried_next_to_nothing_and_padding_are_not_named() -> None:
    assert _because({-1: 0.9, 1: 0.991, 2: 0.009}, [1, 2], [2]) == [[("item-1",)], [()]]


def test_events_older_than_the_encoded_ones_are_not_named() -> None:
    assert _because({1: 1.0, 2: 0.5}, [1, 2, 2, 2, 2]) == [[("item-2",)]]


def test_small_parts_equal_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    users = [[1, 2], [2], [3, 1, 2, 4]]
    together = _because({1: 0.4, 2: 0.3, 3: 0.3}, *users, width=2)
    monkeypatch.setattr("honeyguide.server.serving.explanation._CELLS", 8)
    assert _because({1: 0.4, 2: 0.3, 3: 0.3}, *users, width=2) == together


@pytest.fixture(scope="module")
def bundle(shared_repository: Path, host: PluginHost) -> LoadedBundle:
    return load_bundle(shared_repository / "tiny_ranker" / "1", host, Runtime(1, 1))


def pipeline(bundle: LoadedBundle, **options: Any) -> ServedPipeline:
    return ServedPipeline(PipelineOptions("p", "tiny_ranker", **options), lambda: bundle, None, Metrics(), 64)


class FirstTwo(Rule):
    """Keeps the best two items, so that popular ones fill the other places."""

    name = "first_two"

    def apply(self, ranking: RankedCandidates, k: int) -> np.ndarray:
        return np.tile(np.arange(2), (len(ranking.rows), 1))


def query(*rows: int, explain: bool = True, **options: Any) -> RecommendQuery:
    return RecommendQuery(UserInput(None, InlineHistory([f"item-{row}" for row in rows])), explain=explain, **options)


def test_an_answer_is_explained_by_the_shares_of_its_graph(bundle: LoadedBundle) -> None:
    history = [3, 5, 8, 13, 21]
    (answer,) = pipeline(bundle).recommend([query(*history, k=5)])
    rows = np.array([[int(item.removeprefix("item-")) for item in answer.item_ids]], np.int32)
    (shares,) = bundle.explain(bundle.encode(HistoryBatch.from_lists([history])), rows)  # (5, 5)
    expected = [[history[event] for event in np.argsort(-line)[:3] if line[event] >= 0.01] for line in shares]
    assert answer.because_items == [tuple((f"item-{row}", f"Title {row}") for row in line) for line in expected]
    assert all(expected)


def test_only_those_who_asked_are_explained_and_only_what_was_retrieved(bundle: LoadedBundle) -> None:
    few = ItemFilter(allow=["item-3", "item-7"])
    explained, plain, unknown, filled = pipeline(bundle).recommend(
        [query(3, 5, k=9), query(3, 5, k=4, explain=False), query(explain=True), query(3, k=2, filter=few)]
    )
    assert len(explained.because_items) == 9
    assert (plain.because_items, unknown.because_items) == ((), ())
    assert filled.sources == [ItemSource.RETRIEVED]
    assert len(filled.because_items) == 1


def test_popular_items_are_not_explained(bundle: LoadedBundle) -> None:
    (answer,) = pipeline(bundle, rules=(FirstTwo(None),)).recommend([query(3, 5, k=5)])
    assert answer.sources == [ItemSource.RETRIEVED] * 2 + [ItemSource.POPULAR] * 3
    assert [bool(named) for named in answer.because_items] == [True, True, False, False, False]


def test_a_failing_explanation_degrades_the_answers_that_asked_for_it(
    bundle: LoadedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = pipeline(bundle)
    expected = asked.recommend([query(3, 5), query(3, 5, explain=False)])
    for shares in (lambda *_: 1 / 0, lambda *_: np.full((1, 10, 2), np.nan), lambda *_: np.ones((1, 10, 3))):
        monkeypatch.setattr(bundle, "explain", shares)
        explained, plain = asked.recommend([query(3, 5), query(3, 5, explain=False)])
        assert (explained.degraded_reasons, explained.because_items) == (("EXPLAIN_FAILED",), ())
        assert (plain.degraded_reasons, plain.because_items) == ((), ())
        assert [a.item_ids for a in (explained, plain)] == [a.item_ids for a in expected]
    assert asked._metrics.degraded.labels("EXPLAIN_FAILED")._value.get() == 3
