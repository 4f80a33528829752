"""Takes two models from a raw log to a bundle by the verbs alone: the built-in one and one that tests brought."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import rewrite_manifest
from typer.testing import CliRunner

from honeyguide import exporters
from honeyguide.cli.app import build
from honeyguide.client import AsyncClient
from honeyguide.exporters import PublishedBundle
from honeyguide.sdk.errors import DataError, ExportError
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import file_sha256, read_manifest, verify
from honeyguide.server.app import Server
from honeyguide.server.settings import PipelineSettings, Settings
from honeyguide.training.dataset import Dataset
from honeyguide.training.runs.checkpoint import load_checkpoint
from honeyguide.training.scoring.candidates import score_all

pytestmark = pytest.mark.slow(25)


def run(*words: object) -> Any:
    return CliRunner().invoke(build(), [str(word) for word in words])


def log(path: Path, seed: int) -> Path:
    random = np.random.default_rng(seed)
    users = [f"u{user},i{item},{time}" for user in range(30) for time, item in enumerate(random.permutation(20)[:8])]
    path.write_text("user,item,time\n" + "\n".join(users) + "\n")
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, host: PluginHost) -> Path:
    """Holds the data sets "shop" and "other", on the first the runs "cf" and "tiny_ranker", and "joint" over both."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginHost, "load", classmethod(lambda cls, **options: host))
        for seed, name in enumerate(("shop", "other")):
            raw = log(home / f"{name}.csv", seed)
            done = run("prepare", raw, "--user", "user", "--item", "item", "--time", "time", "--out", home / name)
            assert done.exit_code == 0, done.output
        for model in ("cf", "tiny_ranker"):
            done = run("train", model, home / "shop", "--out", home / model, "--epochs", 1)
            assert done.exit_code == 0, (done.output, done.exception)
        over = [word for model in ("cf", "tiny_ranker") for word in ("--retriever", home / model)]
        done = run("train", "tiny_joint", home / "shop", "--out", home / "joint", "--epochs", 1, *over)
        assert done.exit_code == 0, (done.output, done.exception)
    return home


@pytest.fixture(autouse=True)
def with_tiny_plugin(monkeypatch: pytest.MonkeyPatch, host: PluginHost) -> None:
    monkeypatch.setattr(PluginHost, "load", classmethod(lambda cls, **options: host))


@pytest.fixture(scope="module")
def exported(home: Path, host: PluginHost) -> dict[str, Any]:
    """What `export` said of "cf" and "tiny_ranker"; the bundles lie in "models"."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginHost, "load", classmethod(lambda cls, **options: host))
        return {
            m: run("export", home / m, home / "shop", "--repository", home / "models") for m in ("cf", "tiny_ranker")
        }


@pytest.fixture
def models(home: Path, exported: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of the repository of "cf" and "tiny_ranker"."""
    return Path(shutil.copytree(home / "models", tmp_path / "models"))


@pytest.fixture
def joint(home: Path, tmp_path: Path) -> Path:
    """A run of a joint ranker as if it had earned its place, which one trained on chance cannot."""
    return changed(Path(shutil.copytree(home / "joint", tmp_path / "joint")), "checkpoint.json", candidates=5)


def changed(folder: Path, file: str, **values: Any) -> Path:
    text = (folder / file).read_text()
    (folder / file).write_text(json.dumps(json.loads(text) | values))
    return folder


@pytest.mark.parametrize("model", ["cf", "tiny_ranker"])
def test_a_trained_model_becomes_a_bundle(model: str, home: Path, exported: dict[str, Any]) -> None:
    done = exported[model]
    assert done.exit_code == 0, (done.output, done.exception)
    text = " ".join(done.stdout.split())
    for word in (f"{model} version 1", "user.onnx", "MB", "flat index", "retrieve/ndcg@10/served", "Proof", "digest "):
        assert word in text
    assert f"next: honeyguide serve --repository {home / 'models'}" in done.stderr
    manifest = read_manifest(home / "models" / model / "1")
    verify(home / "models" / model / "1", manifest)
    checkpoint = json.loads((home / model / "checkpoint.json").read_text())
    assert manifest.data == Dataset.open(home / "shop").spec
    assert manifest.metrics == checkpoint["metrics"]
    assert (manifest.config, manifest.plugin) == (checkpoint["config"], checkpoint["plugin"])
    assert (manifest.candidates, manifest.weights) == (checkpoint["candidates"], checkpoint["weights"])


def test_a_signed_bundle_is_served_where_signatures_are_required(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = PublishedBundle(models / "cf" / "1", read_manifest(models / "cf" / "1"))
    monkeypatch.setattr(exporters, "export", lambda *run, **options: bundle)
    done = run("export", "run", "data", "--repository", models, "--sign-key", "release.pem")
    assert done.exit_code == 0, (done.output, done.exception)
    trust = "--trusted-keys trusted-keys.toml --require-signature"
    assert f"next: honeyguide serve --repository {models} {trust}\n" in done.stderr


async def test_what_was_trained_answers_over_grpc(home: Path, models: Path, tmp_path: Path, host: PluginHost) -> None:
    held_out = Dataset.open(home / "shop").evaluation("test")
    ids = Dataset.open(home / "shop").items["item_id"].to_numpy()
    retrieve = {model: PipelineSettings(model=model, rank=False) for model in ("cf", "tiny_ranker")}
    settings = Settings(repository=models, events=tmp_path / "events.db", port=0, metrics_port=-1, pipelines=retrieve)
    histories = np.split(ids[held_out.histories.items], held_out.histories.offsets[1:-1])
    async with Server(settings, host) as server, AsyncClient(f"127.0.0.1:{server.port}") as client:
        for model in retrieve:
            scores, _ = score_all(*load_checkpoint(home / model, host)[1:], held_out.histories)
            for user, history in enumerate(histories[:10]):
                answer = await client.recommend(history=history.tolist(), k=5, pipeline=model)
                assert answer.item_ids == tuple(ids[np.argsort(-scores[user], kind="stable")[:5]])
                assert [item.score for item in answer] == pytest.approx(
                    np.sort(scores[user])[::-1][:5].tolist(), rel=1e-4, abs=1e-5
                )


def test_a_joint_run_finds_the_bundles_of_its_retrievers(home: Path, joint: Path, models: Path) -> None:
    (models / "renamed").mkdir()
    newest = Path(shutil.copytree(models / "cf" / "1", models / "renamed" / "3"))
    rewrite_manifest(newest, name="renamed", version=3, created="9999-01-01")
    done = run("export", joint, home / "shop", "--repository", models)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "flat index" not in done.stdout
    manifest = read_manifest(models / "tiny_joint" / "1")
    checkpoint = json.loads((joint / "checkpoint.json").read_text())
    assert manifest.retrievers == (("renamed", 3), ("tiny_ranker", 1))  # in the order of the training
    assert manifest.weights == checkpoint["weights"] == file_sha256(joint / "weights.safetensors")
    assert (manifest.metrics, manifest.candidates) == (checkpoint["metrics"], 5)


def test_a_joint_run_says_which_retriever_to_export_first(home: Path, joint: Path, models: Path) -> None:
    for missing, folder in (("tiny_ranker", "1-tiny_ranker"), ("cf", "0-cf")):
        shutil.rmtree(models / missing)
        done = run("export", joint, home / "shop", "--repository", models)
        command = f"honeyguide export {joint}/retrievers/{folder} {home / 'shop'} --repository {models}"
        assert isinstance(done.exception, ExportError)
        assert f"{models} has no bundle of {joint}/retrievers/{folder}" in str(done.exception)
        assert f"run `{command}` first" in str(done.exception)
    assert list(models.iterdir()) == []


def test_a_run_beneath_a_joint_run_exports_as_the_run_it_was_copied_from(home: Path, joint: Path) -> None:
    beneath, own = (
        load_checkpoint(folder, PluginHost.load())[0] for folder in (joint / "retrievers/0-cf", home / "cf")
    )
    assert beneath == own


def test_a_joint_ranker_that_did_not_earn_its_place_is_not_exported(home: Path, joint: Path, models: Path) -> None:
    changed(joint, "checkpoint.json", candidates=0, report={"ranker": "left out"})
    done = run("export", joint, home / "shop", "--repository", models)
    assert isinstance(done.exception, DataError)
    assert "did not earn its place (left out)" in str(done.exception)


def test_json_is_the_manifest_alone(home: Path, joint: Path, models: Path) -> None:
    done = run("export", joint, home / "shop", "--repository", models, "--name", "mine", "--json")
    assert json.loads(done.stdout) == json.loads((models / "mine" / "1" / "bundle.json").read_text())


def test_another_data_set_than_the_run_s_is_refused(home: Path, tmp_path: Path) -> None:
    done = run("export", home / "tiny_ranker", home / "other", "--repository", tmp_path)
    assert isinstance(done.exception, DataError)
    assert "holds another data set than the one" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_run_is_refused(home: Path, tmp_path: Path) -> None:
    done = run("export", home / "shop", home / "shop", "--repository", tmp_path)
    assert isinstance(done.exception, DataError)
    assert "honeyguide train" in str(done.exception)


def test_a_failed_proof_is_the_verb_s_failure(
    home: Path, joint: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("honeyguide.exporters.proof.ATOL", -1.0)
    done = run("export", joint, home / "shop", "--repository", models)
    assert isinstance(done.exception, ExportError)
    assert list((models / "tiny_joint").glob("[0-9]*")) == []
