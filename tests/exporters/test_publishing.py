"""Versions appear whole or not at all (`publish.py`), and what cannot become one is refused."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
import torch
from bundles import evaluation_set, items_table, make_bundle
from small_disk import files_end_at
from tiny_mean import TinyMean

from honeyguide.exporters import bundle, export_bundle
from honeyguide.exporters.publish import write_items
from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.errors import DataError, ExportError, InvalidArgument
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import read_manifest, verify
from honeyguide.sdk.names import versions_in

pytestmark = pytest.mark.slow(30)


def names(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


def test_versions_count_up_from_what_is_there(tmp_path: Path):
    assert make_bundle(tmp_path, model=TinyMean).version == 1
    (tmp_path / "tiny" / "1").rename(tmp_path / "tiny" / "9")
    assert make_bundle(tmp_path, model=TinyMean).version == 10
    assert names(tmp_path / "tiny") == [".export-lock", "10", "9"]


def test_a_failure_midway_leaves_nothing(tmp_path: Path, monkeypatch):
    def full(index, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "write_index", full)
    with pytest.raises(OSError, match="No space left"):
        make_bundle(tmp_path, model=TinyMean)
    assert names(tmp_path / "tiny") == [".export-lock"]


def test_a_disk_that_is_full_is_named_with_the_file_and_leaves_what_was_there(tmp_path: Path, monkeypatch):
    make_bundle(tmp_path, model=TinyMean)

    def refused(size: int) -> str:
        with (
            files_end_at(size),
            pytest.raises(DataError, match=r"cannot be written: .*\n  remedy: make") as raised,
        ):
            make_bundle(tmp_path, model=TinyMean)
        assert names(tmp_path / "tiny") == [".export-lock", "1"]
        return Path(raised.value.file).name

    assert [refused(100), refused(3_000)] == ["items.parquet", "user.onnx"]
    monkeypatch.setattr(bundle, "write_items", lambda items, folder: None)  # that is larger here than the vectors
    assert refused(1_000) == "item_vectors.npy"
    verify(tmp_path / "tiny" / "1", read_manifest(tmp_path / "tiny" / "1"))


def test_a_link_as_repository_or_bundle_leads_to_where_it_is_written(tmp_path: Path):
    (tmp_path / "models").symlink_to(tmp_path / "disk")  # which is not there yet
    make_bundle(tmp_path / "models", model=TinyMean)
    assert names(tmp_path / "disk" / "tiny") == [".export-lock", "1"]
    assert (tmp_path / "models").is_symlink()


def test_a_killed_export_is_no_version_and_the_next_removes_it(tmp_path: Path):
    program = (
        "import os; from pathlib import Path\n"
        "from bundles import make_bundle; from tiny_mean import TinyMean; from honeyguide.exporters import bundle\n"
        "bundle.write_index = lambda index, path: os._exit(9)\n"
        f"make_bundle(Path({str(tmp_path)!r}), model=TinyMean)"
    )
    folder = Path(sys.modules["bundles"].__file__).parent
    assert subprocess.run([sys.executable, "-c", program], cwd=folder, check=False).returncode == 9
    assert names(tmp_path / "tiny") == [".export-lock", ".export-unfinished"]
    assert versions_in(tmp_path / "tiny") == []
    assert make_bundle(tmp_path, model=TinyMean).version == 1
    assert names(tmp_path / "tiny") == [".export-lock", "1"]


def test_whoever_waits_is_told_what_is_being_done(tmp_path: Path, host: PluginHost):
    told: list[str] = []
    export_bundle(tmp_path, "tiny", **arguments(host), progress=told.append)
    assert told == [
        "tracing user.onnx",
        "tracing step.onnx",
        "proving the graphs",
        "building the index",
        "proving the ranking, user 0 of 40",
    ]


def test_two_exports_at_once_publish_two_whole_versions(tmp_path: Path):
    with ThreadPoolExecutor(2) as pool:
        manifests = list(pool.map(lambda seed: make_bundle(tmp_path, model=TinyMean, seed=seed), (1, 2)))
    assert sorted(manifest.version for manifest in manifests) == [1, 2]
    assert manifests[0].files["user.onnx"] != manifests[1].files["user.onnx"]
    for manifest in manifests:
        folder = tmp_path / "tiny" / str(manifest.version)
        assert read_manifest(folder) == manifest
        verify(folder, manifest)


def test_reading_a_bundle_needs_no_torch(shared_repository: Path):
    program = (
        "import sys; from pathlib import Path; import numpy, onnxruntime, faiss, polars\n"
        "from honeyguide.sdk.manifest import read_manifest, verify\n"
        f"folder = Path({str(shared_repository / 'tiny_ranker' / '1')!r})\n"
        "manifest = read_manifest(folder); verify(folder, manifest)\n"
        "onnxruntime.set_default_logger_severity(3)\n"
        "user, rank = (onnxruntime.InferenceSession(folder / f, providers=['CPUExecutionProvider'])"
        " for f in ('user.onnx', 'rank.onnx'))\n"
        "tokens = numpy.array([[0, 5, 7]])\n"
        "vector = user.run(None, {'tokens': tokens})[0]\n"
        "best, rows = faiss.read_index(str(folder / 'index.faiss')).search(vector, 6)\n"
        "scores = rank.run(None, {'tokens': tokens, 'candidates': rows + 1, 'retrieval_scores': best[..., None]})[0]\n"
        "assert scores.shape == (1, 6) and polars.read_parquet(folder / 'items.parquet').height == 60\n"
        "assert not {'torch', 'onnx', 'honeyguide.exporters'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_exporting_says_nothing_on_standard_error(tmp_path: Path):
    program = f"from pathlib import Path; from bundles import make_bundle; make_bundle(Path({str(tmp_path)!r}))"
    folder = Path(sys.modules["bundles"].__file__).parent
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def arguments(host: PluginHost, **changes):
    cls = host.model("tiny_gru")
    model = cls(cls.Config(), DataSpec(items=60, repeats=False))
    usual = {"model": model, "network": model.network(), "items": items_table(60), "evaluation": evaluation_set(60)}
    return usual | {"plugin": "tests 0.0.0", "metrics": {}} | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"items": items_table(59)},
            "the catalogue has 59 items and the model was trained on 60: export with the data",
        ),
        ({"candidates": 20}, "candidates is 20, and the network of model 'tiny_gru' has no rank method: export with 0"),
        ({"candidates": -1}, "candidates is -1; it must be 0"),
        (
            {"evaluation": EvaluationSet(HistoryBatch.from_lists([]), torch.zeros(0).numpy(), torch.zeros(0).numpy())},
            "no validation users: the proof needs at least one",
        ),
    ],
)
def test_what_cannot_become_a_bundle_is_refused_before_any_work(changes, message, tmp_path: Path, host: PluginHost):
    with pytest.raises(ExportError, match=message):
        export_bundle(tmp_path, "tiny", **arguments(host, **changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "Upper", "../up", "a/b", "1st", "a" * 65])
def test_a_name_that_no_bundle_can_have_is_refused(name, tmp_path: Path, host: PluginHost):
    with pytest.raises(InvalidArgument, match="name is"):
        export_bundle(tmp_path, name, **arguments(host))


def test_a_catalogue_that_the_disk_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise pl.exceptions.ComputeError("parquet: No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", refuse)
    with pytest.raises(DataError, match=r"/items\.parquet: the catalogue cannot be written: parquet: No space left"):
        write_items(items_table(3), tmp_path)
