"""Proves rankings of sources whose answers are written down; nothing is traced, so nothing waits."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from bundles import tiny_host

from honeyguide.exporters.ranking import prove_ranking
from honeyguide.exporters.sources import CandidateSource
from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.history import EvaluationSet

ITEMS = 12
VECTORS = np.eye(ITEMS, dtype=np.float32)


def source(scores: list[float], *, index: bool = False) -> CandidateSource:
    """Gives every user the same scores, those of the first items."""
    row = np.array([*scores, *-np.arange(1, ITEMS - len(scores) + 1)], np.float32)
    model = tiny_host().build("tiny_gru", {}, DataSpec(items=ITEMS, repeats=False))

    def user(arrays):
        return {"user_vector": np.tile(row, (len(arrays["tokens"]), 1))}

    flat = faiss.IndexFlatIP(ITEMS)
    flat.add(VECTORS)
    return CandidateSource(model, (user, user), VECTORS, flat if index else None)


def by_retrieval(inputs):
    return {"scores": inputs["retrieval_scores"].sum(-1)}


def against_retrieval(inputs):
    return {"scores": -inputs["retrieval_scores"].sum(-1)}


HELD_OUT = EvaluationSet(HistoryBatch.from_lists([[0], [1]]), np.array([0, 1]), np.array([1, 2], np.int32))


def test_what_was_seen_is_left_out_and_each_stage_gets_its_figures():
    own = source([5, 4, 3], index=True)
    proof = prove_ranking(own.model, [own], HELD_OUT, (by_retrieval, by_retrieval), 1)
    # The first user's target is the best of what is left, the second's the second best.
    expected = (1 + 1 / np.log2(3)) / 2
    assert proof == {
        "retrieve/ndcg@10/torch": pytest.approx(expected),
        "retrieve/ndcg@10/served": pytest.approx(expected),
        "retrieve/ndcg@10/difference": 0,
        "rank/ndcg@10/torch": 0.5,  # of one candidate each, the second's is another item
        "rank/ndcg@10/served": 0.5,
        "rank/ndcg@10/difference": 0,
        "candidates/recall": 0.5,
        "users": 2,
    }


def test_published_sources_are_joined_and_their_ranker_alone_is_proven():
    model = tiny_host().build("tiny_joint", {"sources": 2}, DataSpec(items=ITEMS, repeats=False))
    sources = [source([5, 4, 3]), source([0, 0, 9])]
    proof = prove_ranking(model, sources, HELD_OUT, (by_retrieval, by_retrieval), 1)
    # Candidates are 1 and 2 for the first user, whose target comes behind 2; 0 and 2 for the second.
    assert proof["rank/ndcg@10/served"] == pytest.approx((1 / np.log2(3) + 1) / 2)
    assert proof["candidates/recall"] == 1
    assert not [name for name in proof if name.startswith("retrieve/")]


def test_a_graph_that_ranks_otherwise_than_the_network_is_refused():
    own = source([5, 4, 3], index=True)
    with pytest.raises(ExportError, match=r"NDCG@10 after rank is 0\.\d+ through ONNX \+ FAISS and 0\.\d+ in torch"):
        prove_ranking(own.model, [own], HELD_OUT, (by_retrieval, against_retrieval), 5)
