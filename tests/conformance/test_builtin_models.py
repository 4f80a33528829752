"""Runs every check on every model that is installed: a new model is tested by being registered.

These are the only exports of the built-in models in the tests; what else a bundle of theirs must say is asked here too.
Most of them take part in `make test-models` alone, as exports take their time.
"""

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime
import pytest

from honeyguide.conformance.data import RICH
from honeyguide.conformance.kit import Check, checks
from honeyguide.conformance.subject import Subject
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import Manifest

HOST = PluginHost.load()

SCORING = {"ease", "item_knn", "user_knn"}
"""Those that score the whole catalogue, and count instead of learning."""
NOT_EXPLAINED = "its network does not explain"
NOT_STEPPED = "its network does not step"
NOT_RANKED = "its network has no rank"
NOT_PLACED = "its model has no item_inputs"
LACKS = {
    "its network does not observe": {"mlp"},
    NOT_EXPLAINED: {"gru", "joint"},
    NOT_STEPPED: {"attention_lstm", "cf", "content", "joint", "mlp", "text", "transformer", *SCORING},
    NOT_RANKED: SCORING,
    "it ranks what others retrieve": {"joint"},
    "its network scores the whole catalogue": SCORING,
    "its network has no neighbours of items": {*HOST.models} - {"ease", "item_knn"},
    NOT_PLACED: {"attention_lstm", "cf", "gru", "joint", "mlp", "transformer", *SCORING},
}
"""Why a check does not apply, and to whom: nothing else may go unchecked."""


IN_EVERY_RUN = {"cf", "gru", "item_knn", "joint"}
"""One of each kind: vectors, vectors that step, scores, and no retrieval. `make test-models` has all."""


def on_a_worker_of_its_own(name: str) -> object:
    marks = [pytest.mark.xdist_group(f"conformance of {name}"), pytest.mark.slow(15)]
    return pytest.param(name, marks=marks if name in IN_EVERY_RUN else [*marks, pytest.mark.other_model])


@pytest.fixture(scope="module", params=[on_a_worker_of_its_own(name) for name in sorted(HOST.models)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with Subject(request.param, HOST) as subject:
        yield subject


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.name)
def test_the_model_keeps_its_promise(subject: Subject, check: Check) -> None:
    if reason := check(subject):
        assert subject.name in LACKS[reason]


def test_its_bundle_says_what_it_can_and_has_proven_each_graph(subject: Subject) -> None:
    manifest = subject.bundle
    assert isinstance(manifest, Manifest)
    ranks, steps, explains = (subject.name not in LACKS[lack] for lack in (NOT_RANKED, NOT_STEPPED, NOT_EXPLAINED))
    retrieves, scores = subject.cls.retrieves, subject.name in SCORING
    assert (manifest.ranks, manifest.steps, manifest.explains) == (ranks, steps, explains)
    assert manifest.scores_catalogue is scores
    places = subject.name not in LACKS[NOT_PLACED]
    assert bool(manifest.item_inputs) is places
    assert manifest.max_length == subject.config.max_length
    has_vectors = retrieves and not scores
    assert manifest.dimension == (subject.config.dimension + 1 if has_vectors else 0)  # the bias is one of them
    graphs = {
        "user_vector": has_vectors,
        "item_scores": scores,
        "scores": ranks,
        "shares": explains,
        "step/state": steps,
        "step/user_vector": steps,
        "item_vector": places,
    }
    for figure, there in graphs.items():
        assert (f"{figure}/max_abs_difference" in manifest.proof) is there
        assert manifest.proof.get(f"{figure}/max_abs_difference", 0.0) < 1e-3
    for stage in ["retrieve"] * retrieves + ["rank"] * ranks:
        assert manifest.proof[f"{stage}/ndcg@10/difference"] == pytest.approx(0, abs=1e-3)


@pytest.fixture
def bundle(subject: Subject) -> Path:
    """Returns the bundle's folder; it is exported here where no test before did."""
    assert isinstance(subject.bundle, Manifest)
    return subject.folder / "models" / subject.name / "1"


def test_its_graph_has_free_axes(subject: Subject, bundle: Path) -> None:
    graph = bundle / ("user.onnx" if subject.cls.retrieves else "rank.onnx")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    shapes = {given.name: tuple(given.shape) for given in session.get_inputs()}
    for spec in subject.model(RICH).inputs():
        assert shapes[spec.name] == spec.axes


def test_nothing_that_is_constant_is_computed_for_a_request(bundle: Path, tmp_path: Path) -> None:
    for file in bundle.glob("*.onnx"):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath, options.log_severity_level = str(tmp_path / file.name), 4
        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        loaded = onnx.load(tmp_path / file.name).graph
        constants = {part.name for part in loaded.initializer}
        again = [node.name for node in loaded.node if node.input and not set(node.input) - constants]
        assert again == [], file.name
