import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundles import make_bundle

from honeyguide import exporters
from honeyguide.exporters.forward import open_session
from honeyguide.exporters.precision import EXACT, PRECISIONS
from honeyguide.exporters.proof import prove_graphs
from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.candidates import ranker_inputs
from honeyguide.sdk.errors import ExportError, InvalidArgument
from honeyguide.sdk.examples import example_histories
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import RANK_GRAPH, USER_GRAPH, Manifest, read_manifest

NUMBERS = {"float16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}

pytestmark = pytest.mark.slow(9)

every_lower = pytest.mark.parametrize("precision", ["float16", "int8"])


def ranked(manifest: Manifest, host: PluginHost, graph: Path) -> np.ndarray:
    model = host.build(manifest.model_class, manifest.config, manifest.data)
    rows = np.arange(14, dtype=np.int32).reshape(2, 7)
    scores = np.linspace(1, 0, 14, dtype=np.float32).reshape(2, 7, 1)
    arrays = model.encode(example_histories(manifest.data, (3, 5)))
    return open_session(graph)({**arrays, **ranker_inputs(rows, scores)})["scores"]


@every_lower
def test_a_graph_of_lower_precision_is_near(
    precision: str, shared_repository: Path, tmp_path: Path, host: PluginHost
) -> None:
    folder = shared_repository / "tiny_ranker" / "1"
    low = Path(shutil.copy(folder / RANK_GRAPH, tmp_path))
    PRECISIONS[precision].apply(low)
    kinds = Counter(part.data_type for part in onnx.load(low).graph.initializer)
    assert kinds[NUMBERS[precision]]
    expected, given = (ranked(read_manifest(folder), host, graph) for graph in (folder / RANK_GRAPH, low))
    assert given.dtype == np.float32
    assert not np.array_equal(given, expected)
    np.testing.assert_allclose(given, expected, atol=PRECISIONS[precision].allows(expected))


def test_a_bundle_says_its_precision_and_proves_it(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path, model="tiny_gru", precision="float16")
    assert manifest.precision == "float16"
    assert 1e-5 < manifest.proof["user_vector/max_abs_difference"] < 0.05
    assert abs(manifest.proof["retrieve/ndcg@10/difference"]) <= PRECISIONS["float16"].ndcg
    for graph in ("user.onnx", "step.onnx"):
        assert any(
            part.data_type == NUMBERS["float16"]
            for part in onnx.load(tmp_path / "tiny" / "1" / graph).graph.initializer
        )


def test_exact_leaves_a_graph_alone(tmp_path: Path) -> None:
    (tmp_path / "user.onnx").write_bytes(b"no graph at all")
    EXACT.apply(tmp_path / "user.onnx")
    assert (tmp_path / "user.onnx").read_bytes() == b"no graph at all"
    assert (EXACT.bound, EXACT.cause, EXACT.allows(np.ones(3, np.float32))) == ("", "", 0)


def test_a_proof_allows_what_the_precision_does_and_no_more(shared_repository: Path, host: PluginHost) -> None:
    manifest = read_manifest(shared_repository / "tiny" / "1")
    model = host.build(manifest.model_class, manifest.config, manifest.data)
    exact = open_session(shared_repository / "tiny" / "1" / USER_GRAPH)

    def prove(off: float) -> None:
        def coarse(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: values + off * max(np.abs(values).max(), 1.0) for name, values in exact(inputs).items()}

        histories = HistoryBatch.from_lists([[1, 2, 3], [4]])
        prove_graphs(model, {"user_vector": (exact, coarse)}, histories, None, PRECISIONS["int8"])  # type: ignore[arg-type]  # nothing is retrieved

    prove(0.09)
    with pytest.raises(ExportError, match=r"0.1 of the largest value or of 1, in int8\).* int8 is too coarse"):
        prove(0.12)


def test_weights_beside_a_graph_have_no_other_form(tmp_path: Path) -> None:
    for name in ("user.onnx", "user.onnx.data"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ExportError, match="use float32"):
        PRECISIONS["int8"].apply(tmp_path / "user.onnx")


def test_another_precision_is_refused_before_the_run_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="precision is 'int4'; allowed: one of float32, float16, int8"):
        exporters.export(tmp_path / "nowhere", tmp_path / "nowhere", precision="int4")


def test_a_manifest_of_before_is_of_float32(shared_repository: Path) -> None:
    raw = json.loads(read_manifest(shared_repository / "tiny" / "1").to_json()) | {"format_version": 2}
    before = {name: value for name, value in raw.items() if name not in ("precision", "sizes", "digest")}
    assert Manifest.from_json(json.dumps(before)).precision == "float32"
