"""Covers `alike.py`: what makes a query heavier than its batch-mates, and that the lightest come first."""

from __future__ import annotations

from honeyguide.server.bundles.catalogue import ItemFilter
from honeyguide.server.serving.alike import USUAL_K, alike
from honeyguide.server.serving.histories import UserInput
from honeyguide.server.serving.queries import RecommendQuery


def ask(k: int = 10, limit: ItemFilter | None = None, explain: bool = False) -> RecommendQuery:
    return RecommendQuery(UserInput(), k, filter=limit, explain=explain)


def test_usual_queries_are_one_group() -> None:
    assert alike([ask(1), ask(USUAL_K), ask(50)], USUAL_K) == [[0, 1, 2]]


def test_many_items_and_explanations_come_later_and_apart() -> None:
    queries = [ask(900), ask(), ask(explain=True), ask(130), ask(140), ask(limit=ItemFilter(exclude=["a"]))]
    assert alike(queries, USUAL_K) == [[1], [5], [3, 4], [0], [2]]


def test_a_long_filter_is_shared_by_those_alone_who_brought_it() -> None:
    long, other = (ItemFilter(allow=[str(item) for item in range(300)]) for _ in range(2))
    groups = alike([ask(limit=long), ask(limit=other), ask(limit=long), ask(limit=ItemFilter(allow=["a"]))], USUAL_K)
    assert groups[:2] == [[], [3]]
    assert sorted(groups[2:]) == [[0, 2], [1]]
