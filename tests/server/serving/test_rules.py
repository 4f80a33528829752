"""A rule orders and drops; what it may not do is refused, and every item keeps its score."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from honeyguide.sdk import HistoryBatch, RankedCandidates, Rule
from honeyguide.server.bundles.retrieval import Candidates
from honeyguide.server.serving.rules import apply_rule

RANKING = Candidates(
    np.array([[4, 2, 7], [1, 3, -1]], np.int32), np.array([[3.0, 2.0, 1.0], [5.0, 4.0, -np.inf]], np.float32)
)
BUNDLE: Any = SimpleNamespace(
    retrievers=(SimpleNamespace(item_vectors=np.eye(8, dtype=np.float32)),), catalogue=SimpleNamespace(categories=None)
)


class Answering(Rule):
    """Answers what it was made with, and notes what it was asked."""

    def __init__(self, places: Any) -> None:
        self.places, self.asked = places, []

    def apply(self, ranking: RankedCandidates, k: int) -> Any:
        self.asked.append((k, ranking.rows.tolist(), ranking.history.lengths.tolist()))
        return self.places[: len(ranking.rows)] if isinstance(self.places, np.ndarray) else self.places


def apply(places: Any, ks: tuple[int, int] = (2, 2)) -> tuple[Candidates, Answering]:
    rule = Answering(places)
    histories = HistoryBatch.from_lists([[1], [2, 3]])
    return apply_rule(rule, BUNDLE, histories, RANKING, np.array(ks)), rule


def test_items_come_in_the_rules_order_with_their_own_scores() -> None:
    ranking, rule = apply(np.array([[2, 0], [-1, 1]]))
    assert ranking.rows.tolist() == [[7, 4, -1], [3, -1, -1]]
    assert ranking.scores.tolist() == [[1.0, 3.0, -np.inf], [4.0, -np.inf, -np.inf]]
    assert rule.asked == [(2, RANKING.rows.tolist(), [1, 2])]


def test_users_who_asked_for_as_many_are_asked_about_together() -> None:
    _, rule = apply(np.array([[0]]), ks=(3, 1))
    assert rule.asked == [(1, [[1, 3, -1]], [2]), (3, [[4, 2, 7]], [1])]


@pytest.mark.parametrize(
    ("places", "says"),
    [
        (np.array([[0.0], [1.0]]), "float64"),
        (np.array([[0]]), r"\(1, 1\) for 2 users"),
        (np.array([[3], [0]]), "outside of -1 to 2"),
        (np.array([[-2], [0]]), "outside of -1 to 2"),
        (np.array([[1, 1], [0, 1]]), "a place twice"),
        (None, "a rule answered object"),
    ],
)
def test_a_broken_contract_is_named(places: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        apply(places)
