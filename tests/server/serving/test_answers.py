"""Answers are closed up, filled with popular items to k, and cut for each user."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.retrieval import Candidates, Limits
from honeyguide.server.serving.answers import Answers, fill
from honeyguide.server.serving.queries import ItemSource

POPULARITY = np.array([10, 8, 6, 4, 2])


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(list("abcde"), list("ABCDE"), POPULARITY, {})


def test_gaps_close_and_popular_items_come_below_what_was_retrieved(catalogue: Catalogue) -> None:
    ranking = Candidates(
        np.array([[4, -1, 3], [-1, -1, -1]], np.int32), np.array([[0.9, -np.inf, 0.5], [-np.inf] * 3], np.float32)
    )
    # The first user has seen the most popular item; of what was considered, a rule dropped item 1.
    limits = Limits(2, 5, np.array([0 * 5 + 0]))
    considered = np.array([[4, 1, 3], [-1, -1, -1]], np.int32)
    filled, sources, lengths = fill(catalogue, ranking, considered, limits, np.array([3, 2]))
    assert filled.rows.tolist() == [[4, 3, 2], [0, 1, -1]]
    np.testing.assert_allclose(filled.scores[0], [0.9, 0.5, 0.5 - 1 + 0.6], rtol=1e-6)
    np.testing.assert_allclose(filled.scores[1][:2], [1.0, 0.8], rtol=1e-6)
    assert sources[0].tolist() == [ItemSource.RETRIEVED, ItemSource.RETRIEVED, ItemSource.POPULAR]

    assert lengths == [3, 2]
    first, second = Answers(catalogue, (("m", 1),), "m", filled.rows, filled.scores, sources, lengths)
    assert (first.item_ids, first.titles) == (["e", "d", "c"], ["E", "D", "C"])
    assert (second.item_ids, second.sources) == (["a", "b"], [ItemSource.POPULAR] * 2)
    assert (first.models, first.source_model, first.unknown_history_items) == ((("m", 1),), "m", 0)


def test_nobody_gets_more_than_asked_for(catalogue: Catalogue) -> None:
    ranking = Candidates(np.array([[0, 1, 2], [3, 4, 0]], np.int32), np.array([[3, 2, 1], [3, 2, 1]], np.float32))
    limits = Limits(2, 5, np.empty(0, np.int64))
    filled, _, _ = fill(catalogue, ranking, ranking.rows, limits, np.array([1, 3]))
    assert filled.rows.tolist() == [[0, -1, -1], [3, 4, 0]]
