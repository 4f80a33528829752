"""Traces graphs without a proof: names, free axes, and a model whose inputs disagree."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import tiny_host

from honeyguide.exporters.forward import open_session, torch_user, user_vectors
from honeyguide.exporters.graphs import export_rank_graph, export_user_graph
from honeyguide.exporters.tracing import OPSET, trace
from honeyguide.sdk import DataSpec
from honeyguide.sdk.errors import ExportError, PluginError
from honeyguide.sdk.examples import example_histories

DATA = DataSpec(items=60, repeats=False)


def untrained(name: str, **options):
    model = tiny_host().build(name, options, DATA)
    return model, model.network().eval()


def test_a_graph_has_free_axes_and_one_score_for_each_source(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    export_rank_graph(*untrained("tiny_joint", sources=3), tmp_path / "rank.onnx", sources=3)
    graph = onnx.load(tmp_path / "rank.onnx")
    shapes = {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.graph.input}
    assert shapes["retrieval_scores"] == ["batch", "candidates", 3]
    assert shapes["tokens"] == ["batch", "length"]
    assert graph.opset_import[0].version == OPSET


def test_user_vectors_of_a_graph_are_the_network_s_whatever_the_chunk(tmp_path: Path, monkeypatch):
    model, network = untrained("tiny_gru")
    export_user_graph(model, network, tmp_path / "user.onnx")
    histories = example_histories(DATA, [1, 5, 3, 2, 4])
    expected = user_vectors(model, torch_user(network), histories)
    monkeypatch.setattr("honeyguide.exporters.forward._CHUNK", 2)
    assert user_vectors(model, open_session(tmp_path / "user.onnx"), histories) == pytest.approx(expected, abs=1e-5)


def test_inputs_that_encode_does_not_return_are_refused(tmp_path: Path, monkeypatch):
    model, network = untrained("tiny_gru")
    monkeypatch.setattr(model, "encode", lambda histories: {"words": histories.tokens(3)})
    with pytest.raises(ExportError, match=r"inputs\(\) names \['tokens'\], encode\(\) returns \['words'\]; they must"):
        export_user_graph(model, network, tmp_path / "user.onnx")


def test_what_cannot_be_translated_is_an_export_error(tmp_path: Path):
    import torch

    class Branching(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match=r"branch.onnx cannot be made from the network: .*Python control flow"):
        trace(Branching(), {"x": torch.ones(3, 2)}, {"x": {}}, ["y"], tmp_path / "branch.onnx")


def test_a_disk_that_is_full_while_torch_translates_is_no_fault_of_the_network(tmp_path: Path, monkeypatch):
    import torch

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("cannot compile") from OSError(28, "No space left on device")

    monkeypatch.setattr(torch.onnx, "export", full)
    with pytest.raises(ExportError, match=r"user\.onnx: no room is left on the disk"):
        export_user_graph(*untrained("tiny_gru"), tmp_path / "user.onnx")


def test_what_a_model_raises_while_it_is_exported_names_the_call(tmp_path: Path, monkeypatch):
    model, network = untrained("tiny_gru")

    def fail(histories: object) -> None:
        raise KeyError("dwell")

    monkeypatch.setattr(model, "encode", fail)
    with pytest.raises(PluginError, match=r"'tiny_gru' failed in encode on a batch of 3 users × 5 events \(KeyError"):
        export_user_graph(model, network, tmp_path / "user.onnx")
