"""Calls the library as a notebook would; `tests/cli/test_export.py` covers joint runs and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from honeyguide import exporters
from honeyguide.cli.app import build
from honeyguide.exporters.tracing import trace
from honeyguide.sdk.errors import DataError, InvalidArgument
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import read_manifest, verify
from honeyguide.training.dataset import Dataset

pytestmark = pytest.mark.slow(9)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: PluginHost) -> Path:
    """Holds the data set "data" and the run "run" of the tiny GRU."""
    monkeypatch.setattr(PluginHost, "load", classmethod(lambda cls, **options: host))
    random = np.random.default_rng(0)
    rows = [f"u{user},i{item},{time}" for user in range(30) for time, item in enumerate(random.permutation(20)[:6])]
    (tmp_path / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(rows) + "\n")
    for words in (
        ["prepare", str(tmp_path / "log.csv"), "--time", "time", "--out", str(tmp_path / "data")],
        ["train", "tiny_gru", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--epochs", "1"],
    ):
        assert CliRunner().invoke(build(), words).exit_code == 0
    return tmp_path


def test_a_bundle_is_a_path_that_knows_its_name_and_version(shop: Path) -> None:
    data = Dataset.open(shop / "data")
    stages: list[str] = []
    bundles = [
        exporters.export(str(shop / "run"), data, repository=shop / "models", name="mine", progress=stages.append)
        for _ in range(2)
    ]
    assert [(bundle.name, bundle.version) for bundle in bundles] == [("mine", 1), ("mine", 2)]
    assert os.fspath(bundles[1]) == str(shop / "models" / "mine" / "2")
    assert Path(bundles[1]).is_dir()
    assert read_manifest(bundles[1].folder) == bundles[1].manifest
    verify(bundles[1].folder, bundles[1].manifest)
    assert stages[:2] == ["reading the run", "tracing user.onnx"]


def test_a_name_that_no_bundle_can_have_is_refused_before_the_run_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="name is 'Mine'; allowed: text that matches"):
        exporters.export(tmp_path / "nowhere", tmp_path / "nowhere", name="Mine")


def test_a_repository_that_is_a_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(DataError, match="models is no folder"):
        exporters.export(tmp_path / "run", tmp_path / "data", repository=tmp_path / "models")


def test_a_graph_that_the_disk_refuses_is_no_fault_of_the_network(tmp_path: Path) -> None:
    import torch
    from torch.export import Dim

    with pytest.raises(DataError, match=r"absent/user\.onnx: the graph cannot be written: No such file or directory\n"):
        trace(
            torch.nn.Identity(),
            {"input": torch.zeros(2, 3)},
            {"input": {0: Dim("batch")}},
            ["output"],
            tmp_path / "absent" / "user.onnx",
        )
