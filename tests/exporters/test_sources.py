from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import polars as pl
import pytest
import torch
from bundles import evaluation_set, items_table, make_joint_bundle, tiny_host
from torch import nn

from honeyguide.exporters import export_bundle
from honeyguide.sdk import DataSpec, Model
from honeyguide.sdk.errors import ExportError, InvalidArgument, PluginError
from honeyguide.sdk.manifest import read_manifest, verify

pytestmark = pytest.mark.slow(15)


@pytest.fixture(scope="module")
def joint(shared_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with "tiny", "tiny_ranker" and over them "joint"."""
    repository = tmp_path_factory.mktemp("joint")
    for name in ("tiny", "tiny_ranker"):
        (repository / name).symlink_to(shared_repository / name)
    make_joint_bundle(repository)
    return repository


def published(repository: Path) -> list[str]:
    return [path.name for path in (repository / "joint").glob("*") if path.name != ".export-lock"]


def run(path: Path, outputs: list[str], **inputs: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(outputs, inputs)[0]


def test_the_manifest_pins_what_the_ranker_stands_on(joint: Path):
    folder = joint / "joint" / "1"
    manifest = read_manifest(folder)
    verify(folder, manifest)
    assert set(manifest.files) == {"items.parquet", "rank.onnx"}
    assert manifest.retrievers == (("tiny", 1), ("tiny_ranker", 1))
    assert (manifest.index, manifest.dimension, manifest.steps, manifest.explains) == (None, 0, False, False)
    assert (manifest.ranks, manifest.candidates, manifest.model_class) == (True, 10, "tiny_joint")
    assert [spec.name for spec in manifest.inputs] == ["tokens"]
    assert manifest.vocabulary == read_manifest(joint / "tiny" / "1").vocabulary
    assert pl.read_parquet(folder / "items.parquet").equals(items_table(60))


def test_the_proof_is_what_a_plain_loop_over_the_bundles_finds(joint: Path):
    held_out = evaluation_set(60)
    gains, found = [], []
    for user, target in zip(held_out.target_users, held_out.target_items, strict=True):
        start, stop = held_out.histories.offsets[user : user + 2]
        seen = held_out.histories.items[start:stop].tolist()
        tokens = np.array([seen], np.int64) + 1
        scores = []
        for name in ("tiny", "tiny_ranker"):
            vector = run(joint / name / "1" / "user.onnx", ["user_vector"], tokens=tokens)
            scores.append(np.load(joint / name / "1" / "item_vectors.npy") @ vector[0])
        listed = [[row for row in np.argsort(-own).tolist() if row not in seen][:10] for own in scores]
        rows = list(dict.fromkeys(listed[0] + listed[1]))
        given = np.stack([own[rows] for own in scores], axis=-1)[None]
        candidates = np.array([rows]) + 1
        ranked = run(
            joint / "joint" / "1" / "rank.onnx",
            ["scores"],
            tokens=tokens,
            candidates=candidates,
            retrieval_scores=given,
        )
        best = [rows[place] for place in np.argsort(-ranked[0], kind="stable")]
        found.append(target in rows)
        gains.append(1 / np.log2(best.index(target) + 2) if target in best[:10] else 0.0)
    proof = read_manifest(joint / "joint" / "1").proof
    assert proof["rank/ndcg@10/served"] == pytest.approx(np.mean(gains), abs=1e-9)
    assert proof["rank/ndcg@10/difference"] == pytest.approx(0, abs=1e-3)
    assert proof["candidates/recall"] == np.mean(found) > 0
    assert proof["users"] == len(held_out)


def test_a_third_source_reaches_the_graph(joint: Path):
    manifest = make_joint_bundle(joint, "three", retrievers=[("tiny_ranker", 1), ("tiny", 1), ("tiny_ranker", 1)])
    assert manifest.retrievers == (("tiny_ranker", 1), ("tiny", 1), ("tiny_ranker", 1))
    graph = ort.InferenceSession(joint / "three" / "1" / "rank.onnx", providers=["CPUExecutionProvider"])
    shapes = {value.name: value.shape for value in graph.get_inputs()}
    assert shapes["retrieval_scores"] == ["batch", "candidates", 3]


@pytest.mark.parametrize(
    ("retrievers", "message"),
    [
        ([], "no retrievers: model 'tiny_joint' ranks what others retrieve, so it needs at least one"),
        ([("tiny", 3)], r"retriever tiny/3 does not exist \(tiny has version 1\): export it first"),
        ([("tiny", 1), ("nowhere", 1)], r"retriever nowhere/1 does not exist \(there is no bundle 'nowhere'\)"),
        ([("joint", 1)], "retriever joint/1 does not retrieve, it ranks what others retrieve"),
    ],
)
def test_a_retriever_that_is_not_there_is_refused(retrievers, message, joint: Path):
    with pytest.raises(ExportError, match=message):
        make_joint_bundle(joint, retrievers=retrievers)
    assert published(joint) == ["1"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"items": 50}, "its items and item ids differ; train and export both from the same data set"),
        ({"repeats": True}, "retriever tiny/1 was made from other data than 'joint': its repeats differ"),
    ],
)
def test_a_retriever_of_other_data_is_refused(other, message, joint: Path):
    with pytest.raises(ExportError, match=message):
        make_joint_bundle(joint, retrievers=[("tiny", 1)], **other)
    assert published(joint) == ["1"]


def test_a_retriever_with_other_item_ids_is_refused(joint: Path):
    renamed = items_table(60).with_columns(pl.col("item_id") + "x")
    with pytest.raises(ExportError, match=r"retriever tiny/1 was made from .*: its item ids differ"):
        export_bundle(joint, "joint", **arguments(), items=renamed, retrievers=[("tiny", 1)])


def test_a_changed_retriever_is_refused(repository: Path):
    with (repository / "tiny" / "1" / "user.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ExportError, match=r"retriever tiny/1 cannot be used: tiny/1: file user.onnx was changed"):
        make_joint_bundle(repository)


def test_a_retriever_whose_plugin_is_gone_is_refused(joint: Path):
    host = tiny_host()
    del host.models["tiny_gru"]
    with pytest.raises(PluginError, match="no installed plugin offers model 'tiny_gru'"):
        export_bundle(joint, "joint", **arguments() | {"host": host}, items=items_table(60), retrievers=[("tiny", 1)])


def test_what_cannot_stand_on_retrievers_is_refused(joint: Path):
    usual = arguments() | {"items": items_table(60)}
    retrieving = tiny_host().model("tiny_ranker")
    own = retrieving(retrieving.Config(), DataSpec(items=60, repeats=False))
    with pytest.raises(ExportError, match="model 'tiny_ranker' retrieves by itself: name no retrievers"):
        export_bundle(joint, "joint", **usual | {"model": own, "network": own.network()}, retrievers=[("tiny", 1)])
    with pytest.raises(ExportError, match="candidates is 0; model 'tiny_joint' only ranks, so it needs 1 or more"):
        export_bundle(joint, "joint", **usual | {"candidates": 0}, retrievers=[("tiny", 1)])
    with pytest.raises(ExportError, match="the network of model 'tiny_joint' has no rank method"):
        export_bundle(joint, "joint", **usual | {"network": nn.Linear(1, 1)}, retrievers=[("tiny", 1)])
    with pytest.raises(InvalidArgument, match="name is 'A'"):
        export_bundle(joint, "A", **usual, retrievers=[("tiny", 1)])


def arguments() -> dict:
    cls = tiny_host().model("tiny_joint")
    model = cls(cls.Config(sources=1), DataSpec(items=60, repeats=False))
    usual = {"model": model, "network": model.network(), "evaluation": evaluation_set(60), "host": tiny_host()}
    return usual | {"plugin": "tests 0.0.0", "metrics": {}, "candidates": 10}


class Wrong(nn.Module):
    def __init__(self, items: int, sources: int) -> None:
        super().__init__()
        self.ranker = nn.Embedding(items + 1, sources)

    def rank(self, batch, candidates, retrieval_scores):
        own = self.ranker(candidates) + self.ranker(batch["tokens"][:, -1:])
        return (own * retrieval_scores).sum(-1) * (2.0 if torch.compiler.is_exporting() else 1.0)

    def ranking_module(self):
        return self.ranker


class WrongJoint(Model):
    name = "wrong_joint"
    retrieves = False

    @dataclass(frozen=True)
    class Config:
        sources: int = 2
        max_length: int = 20

    def network(self):
        return Wrong(self.data.items, self.config.sources)


def test_a_graph_that_is_not_the_network_leaves_no_bundle(joint: Path):
    with pytest.raises(ExportError, match=r"the exported scores is not the network's .*acts otherwise when exported"):
        make_joint_bundle(joint, model=WrongJoint)
    assert published(joint) == ["1"]


def test_a_network_for_another_number_of_sources_is_refused(joint: Path):
    with pytest.raises(ExportError, match=r"rank.onnx cannot be made from the network"):
        make_joint_bundle(joint, config={"sources": 3})
    assert published(joint) == ["1"]


def test_a_killed_export_is_no_version(joint: Path):
    program = (
        "import os; from pathlib import Path\n"
        "from bundles import make_joint_bundle; from honeyguide.exporters import bundle\n"
        "bundle.prove_graphs = lambda *given: os._exit(9)\n"
        f"make_joint_bundle(Path({str(joint)!r}), 'killed')"
    )
    folder = Path(sys.modules["bundles"].__file__).parent
    assert subprocess.run([sys.executable, "-c", program], cwd=folder, check=False).returncode == 9
    assert sorted(path.name for path in (joint / "killed").iterdir()) == [".export-lock", ".export-unfinished"]
    assert make_joint_bundle(joint, "killed").version == 1
    assert sorted(path.name for path in (joint / "killed").iterdir()) == [".export-lock", "1"]
