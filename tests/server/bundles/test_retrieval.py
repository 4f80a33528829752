"""Retrieval finds what an exact search finds, whatever is forbidden or filtered."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.sdk.candidates import top_k
from honeyguide.server.bundles import retrieval
from honeyguide.server.bundles.retrieval import ExactSearch, IndexSearch, Limits, Retriever, most_popular


def _random(seed: int, users: int, items: int, forbidden: float, allowed: float | None) -> tuple:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((items, 8)).astype(np.float32)
    queries = random.standard_normal((users, 8)).astype(np.float32)
    keys = np.flatnonzero(random.random(users * items) < forbidden)
    masks = () if allowed is None else (random.random(items) < allowed, random.random(items) < allowed)
    mask_of = None if allowed is None else random.integers(-1, 2, users)
    return vectors, queries, Limits(users, items, keys, masks, mask_of)


def _naive(vectors: np.ndarray, query: np.ndarray, limits: Limits, user: int, count: int) -> list[float]:
    """The best permitted scores, by brute force."""
    permitted = [
        row
        for row in range(limits.items)
        if user * limits.items + row not in set(limits.forbidden.tolist())
        and (limits.mask_of[user] < 0 or limits.masks[limits.mask_of[user]][row])
    ]
    return sorted((float(query @ vectors[row]) for row in permitted), reverse=True)[:count]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    users=st.integers(1, 25),
    items=st.integers(1, 90),
    counts=st.lists(st.sampled_from([0, 1, 3, 9, 10, 40]), min_size=25, max_size=25),
    forbidden=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    allowed=st.sampled_from([None, 0.02, 0.5]),
    exact_rows=st.sampled_from([0, 10, 8192]),
    most_fetched=st.sampled_from([8, 4096]),
)
def test_index_and_exact_search_agree_with_brute_force(
    seed: int,
    users: int,
    items: int,
    counts: list[int],
    forbidden: float,
    allowed: float | None,
    exact_rows: int,
    most_fetched: int,
) -> None:
    vectors, queries, limits = _random(seed, users, items, forbidden, allowed)
    depths = np.array(counts[:users])
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_EXACT_ROWS", exact_rows)  # 0: always the index first
        patch.setattr(retrieval, "_MOST_FETCHED", most_fetched)  # 8: the index is nearly always short
        exact = ExactSearch(vectors)
        retrievers: tuple[Retriever, ...] = IndexSearch(index, exact), exact
        for candidates in (retriever.search(queries, limits, depths) for retriever in retrievers):
            for user in range(users):
                rows = candidates.rows[user][candidates.rows[user] >= 0]
                want = _naive(vectors, queries[user], limits, user, counts[user])
                assert len(set(rows.tolist())) == len(rows) == len(want)
                assert limits.permits(np.array([user]), rows[None]).all()
                np.testing.assert_allclose(candidates.scores[user, : len(rows)], want, rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(vectors[rows] @ queries[user], want, rtol=1e-4, atol=1e-5)


def test_approximate_index_that_misses_is_made_up_for_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_EXACT_ROWS", 0)
    vectors, queries, _ = _random(0, 5, 300, 0, None)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(8), 8, 40, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)  # it probes one list of 40: about 7 of 300 items
    candidates = IndexSearch(index, ExactSearch(vectors)).search(queries, Limits.none(5, 300), np.full(5, 50))
    np.testing.assert_array_equal(candidates.rows, np.argsort(-(queries @ vectors.T), axis=1)[:, :50])


def test_answer_does_not_depend_on_mates() -> None:
    vectors, queries, limits = _random(3, 30, 200, 0.3, 0.4)
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    retriever = IndexSearch(index, ExactSearch(vectors))
    together = retriever.search(queries, limits, np.full(30, 20))
    for user in range(30):
        alone = retriever.search(queries[[user]], limits.take(np.array([user])), np.array([20]))
        np.testing.assert_array_equal(alone.rows[0], together.rows[user])


class CountingIndex:
    """Index that writes down what it is asked for: users, and rows for each."""

    def __init__(self, index: faiss.Index) -> None:
        self.index, self.asked = index, []

    def search(self, vectors: np.ndarray, count: int) -> Any:
        self.asked.append((len(vectors), count))
        return self.index.search(vectors, count)


def test_index_is_asked_no_deeper_for_a_batch_mate_who_wants_or_may_not_get_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrieval, "_EXACT_ROWS", 0)
    vectors, queries, _ = _random(0, 6, 3000, 0, None)
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    counting = CountingIndex(index)
    search = IndexSearch(counting, ExactSearch(vectors))  # type: ignore[arg-type]  # it searches alike
    light = search.search(queries[:4], Limits.none(4, 3000), np.full(4, 100))
    assert counting.asked == [(4, 128)]
    counting.asked.clear()
    seen = 5 * 3000 + np.arange(900)
    mixed = search.search(queries, Limits(6, 3000, seen), np.array([100, 100, 100, 100, 1000, 100]))
    assert sorted(counting.asked) == [(1, 1024), (1, 1024), (4, 128)] or sorted(counting.asked) == [(2, 1024), (4, 128)]
    np.testing.assert_array_equal(mixed.rows[:4, :100], light.rows)
    assert (mixed.rows[[0, 1, 2, 3, 5], 100:] == -1).all()


def test_best_are_picked_no_deeper_for_a_batch_mate_with_a_large_k_or_a_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    picked: list[tuple[int, int, int]] = []

    def counting(scores: np.ndarray, k: int) -> Any:
        picked.append((*scores.shape, k))
        return top_k(scores, k)

    monkeypatch.setattr(retrieval, "top_k", counting)
    vectors, queries, _ = _random(0, 6, 3000, 0, None)
    mask = np.arange(3000) < 50
    limits = Limits(6, 3000, np.empty(0, np.int64), (mask,), np.array([-1, -1, 0, -1, -1, -1]))
    found = ExactSearch(vectors).search(queries, limits, np.array([100, 100, 100, 110, 100, 1000]))
    assert sorted(picked) == [(1, 50, 100), (1, 3000, 1000), (4, 3000, 110)]
    assert (found.rows >= 0).sum(1).tolist() == [100, 100, 50, 110, 100, 1000]
    picked.clear()
    ExactSearch(vectors).search(queries, Limits.none(6, 3000), np.full(6, 100))
    assert picked == [(6, 3000, 100)]


def test_popular_items_are_looked_through_no_deeper_for_a_batch_mate_who_has_seen_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    depths: list[tuple[int, ...]] = []
    permits = Limits.permits

    def counting(limits: Limits, users: np.ndarray, rows: np.ndarray) -> Any:
        depths.append(rows.shape)
        return permits(limits, users, rows)

    monkeypatch.setattr(Limits, "permits", counting)
    limits = Limits(4, 3000, 2 * 3000 + np.arange(2000))
    rows = most_popular(np.arange(3000, dtype=np.int32), limits, np.array([10, 10, 10, 0]))
    assert sorted(depths) == [(1, 2010), (2, 10)]
    assert rows[:, 0].tolist() == [0, 0, 2000, -1]


def test_limits_work_out_nothing_that_is_not_asked_for() -> None:
    vectors, queries, _ = _random(0, 2, 10, 0, None)
    limits = Limits(2, 10, np.array([11, 11, 3]))
    ExactSearch(vectors).search(queries, limits, np.array([3, 3]))
    assert not {"forbidden", "forbidden_counts", "allowed_counts", "mask_of"} & set(vars(limits))
    assert limits.forbidden.tolist() == [3, 11]
    assert limits.forbidden_counts.tolist() == [1, 1]
    assert limits.take(np.array([1])).forbidden.tolist() == [1]


def test_popular_keeps_the_order_and_the_limits() -> None:
    order = np.array([4, 2, 0, 1, 3], np.int32)
    masks = (np.array([True, True, True, False, False]),)
    limits = Limits(3, 5, np.array([0 * 5 + 4, 1 * 5 + 2]), masks, np.array([-1, 0, -1]))
    rows = most_popular(order, limits, np.array([2, 3, 0]))
    assert rows.tolist() == [[2, 0, -1], [0, 1, -1], [-1, -1, -1]]


def test_no_permitted_item_is_no_item() -> None:
    vectors, queries, _ = _random(0, 2, 10, 0, None)
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    limits = Limits(2, 10, np.empty(0, np.int64), (np.zeros(10, np.bool_),), np.array([0, 0]))
    assert (IndexSearch(index, ExactSearch(vectors)).search(queries, limits, np.array([3, 3])).rows == -1).all()
    assert (most_popular(np.arange(10, dtype=np.int32), limits, np.array([3, 3])) == -1).all()
