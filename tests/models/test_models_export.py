"""Exports every model of the package once, of data with every column, and asks the graphs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from bundles import evaluation_set, items_table
from small_models import EXPLAIN, MODELS, RICH, SEQUENCE, histories, small, weighty

from honeyguide.exporters import export_bundle
from honeyguide.sdk import ItemTable, Model
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.manifest import Manifest
from honeyguide.training.scoring.device import tensors


@dataclass(frozen=True)
class Exported:
    model: Model
    network: Any
    manifest: Manifest
    folder: Path

    def graph(self, name: str) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(self.folder / name, providers=["CPUExecutionProvider"])


@pytest.fixture(
    scope="session",
    params=MODELS,
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    name = request.param
    # Tracing takes seconds a graph, and the ranker is the same in all: it is traced beside one input and beside all.
    items, candidates = {"cf": (6, 6), "gru": (60, 20)}.get(name, (60, 0))
    folder = tmp_path_factory.mktemp("models")
    data = replace(RICH, items=items)
    plain = evaluation_set(items)
    lists = [part.tolist() for part in np.split(plain.histories.items, plain.histories.offsets[1:-1])]
    evaluation = EvaluationSet(histories(data, lists), plain.target_users, plain.target_items)
    model = small(name, data, max_length=10)
    network = weighty(model)
    network.observe(evaluation.histories, ItemTable.of_rows(model.data.items))
    manifest = export_bundle(
        folder,
        name,
        model=model,
        network=network,
        items=items_table(items),
        evaluation=evaluation,
        plugin="tests 0.0.0",
        metrics={},
        candidates=candidates,
    )
    return Exported(model, network, manifest, folder / name / "1")


def test_a_bundle_passes_its_proof_with_all_its_graphs(exported: Exported) -> None:
    manifest, name = exported.manifest, exported.model.name
    assert manifest.explains is (name in EXPLAIN)
    assert manifest.steps is (name == "gru")
    assert manifest.dimension == 17  # the bias is one of them
    assert manifest.max_length == 10
    graphs = {
        "user_vector": True,
        "scores": manifest.ranks,
        "shares": manifest.explains,
        "step/state": manifest.steps,
        "step/user_vector": manifest.steps,
    }
    for figure, there in graphs.items():
        assert (f"{figure}/max_abs_difference" in manifest.proof) is there
        assert manifest.proof.get(f"{figure}/max_abs_difference", 0.0) < 1e-3
    assert manifest.proof["retrieve/ndcg@10/difference"] == pytest.approx(0, abs=1e-3)
    assert manifest.proof.get("rank/ndcg@10/difference", 0.0) == pytest.approx(0, abs=1e-3)


def test_batch_and_length_stay_free(exported: Exported) -> None:
    session = exported.graph("user.onnx")
    shapes = {given.name: given.shape for given in session.get_inputs()}
    assert shapes["tokens"] == ["batch", "length"]
    if exported.model.name in SEQUENCE:
        assert shapes["numbers"] == ["batch", "length", 3]
        assert shapes["types"] == ["batch", "length"]
    data = exported.model.data
    for users, length in ((1, 1), (1, 10), (6, 3), (33, 7)):
        asked = histories(data, [[(user + place) % data.items for place in range(length)] for user in range(users)])
        (found,) = session.run(["user_vector"], dict(exported.model.encode(asked)))
        expected = exported.network.user(tensors(exported.model, asked)).detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
