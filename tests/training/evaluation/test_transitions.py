"""Covers transitions.py by hand and by a second way of counting, and baselines.py, which offers them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from honeyguide.sdk import HistoryBatch
from honeyguide.training.evaluation.baselines import counted_baselines
from honeyguide.training.evaluation.transitions import TransitionGraph


def test_a_hand_worked_graph() -> None:
    training = HistoryBatch.from_lists([[0, 1, 2], [0, 1]])
    graph = TransitionGraph(training, 4)
    # 0 led to 1 twice, in one step; to 2 once, in two; 1 to 2 once. Events: 2, 2, 1, and none of 3.
    expected = np.zeros((4, 4))
    expected[0, 1] = 2 / np.sqrt(2 * 2)
    expected[0, 2] = 0.7 / np.sqrt(2 * 1)
    expected[1, 2] = 1 / np.sqrt(2 * 1)
    assert graph.weights.toarray() == pytest.approx(expected)
    # The newest event counts whole, the one before 0.7.
    scores = graph.scores(HistoryBatch.from_lists([[0, 1], [3], [0] * 11]))
    assert scores[0] == pytest.approx([0, 0.7, 1 / 2**0.5 + 0.7 * 0.7 / 2**0.5, 0])
    assert scores[1].tolist() == [0, 0, 0, 0]
    assert scores[2] == pytest.approx(expected[0] * (1 - 0.7**10) / 0.3)  # the eleventh no longer votes
    assert scores.dtype == np.float32


def test_nothing_within_a_basket_leads_anywhere_and_users_stay_apart() -> None:
    baskets = dataclasses.replace(
        HistoryBatch.from_lists([[0, 1, 2], [3, 3]]), times_ms=np.array([5, 9, 9, 9, 10], np.int64)
    )
    weights = TransitionGraph(baskets, 4).weights.toarray()
    assert set(zip(*(ends.tolist() for ends in np.nonzero(weights)), strict=True)) == {(0, 1), (0, 2), (3, 3)}
    assert weights[0, 1] == weights[0, 2] == 1.0  # both came right after it


def test_the_graph_equals_counting_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    lists = [rng.integers(0, 9, rng.integers(0, 15)).tolist() for _ in range(20)]
    counts = np.zeros((9, 9))
    for events in lists:
        for at, item in enumerate(events):
            for gap in range(1, min(5, at) + 1):
                counts[events[at - gap], item] += 0.7 ** (gap - 1)
    total = np.bincount([item for events in lists for item in events], minlength=9)
    expected = counts / np.sqrt(np.outer(total, total))
    assert TransitionGraph(HistoryBatch.from_lists(lists), 9).weights.toarray() == pytest.approx(expected, rel=1e-5)


def test_both_baselines_are_offered_in_order_and_may_be_written_to() -> None:
    training = HistoryBatch.from_lists([[2, 2, 1]])
    found = {name: baseline(training) for name, baseline in counted_baselines(training, 3).items()}
    assert list(found) == ["popularity", "transitions"]
    assert found["popularity"].tolist() == [[0, 1, 2]]
    for scores in found.values():
        scores[0, 0] = -np.inf
