"""A graph takes the inputs that it has, of whatever there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honeyguide.sdk.manifest import RANK_GRAPH
from honeyguide.server.bundles.graph import Graph
from honeyguide.server.bundles.runtime import CPU, Runtime


def test_a_graph_runs_on_the_inputs_it_has_and_says_where(shared_repository: Path) -> None:
    graph = Graph(Runtime(1, 1).session((shared_repository / "tiny_ranker" / "1" / RANK_GRAPH).read_bytes()))
    arrays = {
        "tokens": np.array([[0, 3, 4]]),
        "candidates": np.array([[1, 2]]),
        "retrieval_scores": np.ones((1, 2, 1), np.float32),
    }
    (scores,) = graph.run({**arrays, "nothing": np.zeros(1)}, ["scores"])
    assert (scores.shape, scores.dtype, graph.provider) == ((1, 2), np.float32, CPU)
    with pytest.raises(KeyError):
        graph.run({"tokens": arrays["tokens"]}, ["scores"])
