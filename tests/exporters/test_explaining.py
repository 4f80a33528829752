"""Explanations, sound and broken; the graphs are plain numpy, so that nothing waits."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from bundles import evaluation_set, tiny_host

from honeyguide.exporters.proof import prove_graphs
from honeyguide.sdk import DataSpec
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.manifest import read_manifest

HISTORIES = evaluation_set(60).histories


def shares_of(inputs, *, masked=True, scale=1.0, shift=0.0):
    """Gives every event of a history the same share."""
    counted = (inputs["tokens"] > 0)[:, None] | (not masked)  # (batch, 1, length)
    likeness = np.repeat(counted, inputs["candidates"].shape[1], axis=1)
    return {"shares": (scale * likeness / likeness.sum(-1, keepdims=True) + shift).astype(np.float32)}


def first_candidates(histories, count):
    rows = np.tile(np.arange(count) % 60, (len(histories), 1))
    return rows, np.zeros((*rows.shape, 1), np.float32)


def prove(explain, exported=None):
    cls = tiny_host().model("tiny_gru")
    model = cls(cls.Config(), DataSpec(items=60, repeats=False))
    return prove_graphs(model, {"shares": (explain, exported or explain)}, HISTORIES, first_candidates)


def test_equal_shares_pass():
    assert prove(shares_of) == {"shares/max_abs_difference": 0.0}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"scale": 0.9}, "shares of the real events sum to 0.9"),
        ({"masked": False}, r"shares of the real events sum to 0\.\d+; likely cause: padding takes part"),
        ({"scale": -1.0}, "one of the shares is -1; likely cause: no softmax"),
        ({"scale": float("nan")}, "one of the shares is nan"),
        ({"shift": 1e-5}, "padding gets a share of 1e-05; likely cause: padding is not masked"),
    ],
)
def test_what_are_no_shares_is_refused(broken, message):
    with pytest.raises(ExportError, match=message):
        prove(lambda inputs: shares_of(inputs, **broken))


def test_an_exported_explanation_must_be_the_network_s():
    def reversed_in_time(inputs):
        return {"shares": shares_of(inputs)["shares"] * np.linspace(0.5, 1.5, inputs["tokens"].shape[1])}

    with pytest.raises(ExportError, match=r"the exported shares is not the network's .*batch 1 × length 2: differs by"):
        prove(reversed_in_time, shares_of)


@pytest.mark.parametrize(("off", "passes"), [(5e-5, True), (5e-4, False)])
def test_shares_may_differ_by_rounding_alone(off, passes):
    def rounded(inputs):
        shares = shares_of(inputs)["shares"]
        turns = np.where(np.arange(shares.shape[-1]) % 2, off, -off).astype(np.float32)  # up and down, so the sum stays
        return {"shares": shares + np.where(shares > 0, turns, 0)}

    if passes:
        assert prove(shares_of, rounded)["shares/max_abs_difference"] == pytest.approx(off, rel=0.01)
        return
    with pytest.raises(ExportError, match=r"allowed: rtol 0.0001, atol 0.0001\): .*differs by .*rounding that grows"):
        prove(shares_of, rounded)


def test_the_graph_names_every_event_s_share(shared_repository):
    folder = shared_repository / "tiny_ranker" / "1"
    manifest = read_manifest(folder)
    assert manifest.explains
    assert manifest.proof["shares/max_abs_difference"] < 1e-5
    graph = ort.InferenceSession(folder / "explain.onnx", providers=["CPUExecutionProvider"])
    tokens, candidates = np.array([[0, 0, 4], [7, 7, 9]]), np.array([[1, 2], [7, 3]])
    (shares,) = graph.run(["shares"], {"tokens": tokens, "candidates": candidates})
    assert shares.shape == (2, 2, 3)
    assert shares[0].tolist() == [[0, 0, 1], [0, 0, 1]]
    assert shares[1].sum(1) == pytest.approx([1, 1])
    assert shares[1, :, 0] == pytest.approx(shares[1, :, 1])  # the same item carries the same share
    assert not read_manifest(shared_repository / "tiny" / "1").explains
