"""The repository loads the newest good version, lists the bad ones with their reason, and swaps by one reference.

It reads bundles with `loading.py` and hands out what `bundle.py` describes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bundles import rewrite_manifest

from honeyguide.sdk.errors import ConfigError, CorruptBundle, ForeignBundle, ModelNotFound, NothingServed, PluginMissing
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.repository import BundleState, Repository
from honeyguide.server.bundles.runtime import Runtime

RUNTIME = Runtime(1, 1)


def copy_version(repository: Path, version: int, name: str = "tiny") -> Path:
    """Adds version 1 again as another version: a good bundle of the same content."""
    to = repository / name / str(version)
    shutil.copytree(repository / name / "1", to)
    rewrite_manifest(to, version=version)
    return to


def change_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_newest_good_version_serves_and_the_bad_one_is_listed(repository: Path, host: PluginHost) -> None:
    copy_version(repository, 2)
    change_byte(copy_version(repository, 10) / "item_vectors.npy")
    served = Repository(repository, host, RUNTIME)
    served.load_newest()
    found = {(e.name, e.version): e for e in served.entries()}
    assert [key for key in found if key[0] == "tiny"] == [("tiny", 10), ("tiny", 2), ("tiny", 1)]
    assert found["tiny", 10].state == BundleState.FAILED
    assert found["tiny", 10].problem == "tiny/10: file item_vectors.npy was changed; export the model again"
    assert found["tiny", 2].state == BundleState.SERVING
    assert found["tiny", 2].provider == "CPUExecutionProvider"
    assert found["tiny", 1].state == BundleState.AVAILABLE
    assert served.entry("tiny").version == 2


def test_failed_load_leaves_what_serves(repository: Path, host: PluginHost) -> None:
    served = Repository(repository, host, RUNTIME)
    served.load_newest()
    before = served.get("tiny")
    change_byte(copy_version(repository, 2) / "user.onnx")
    with pytest.raises(CorruptBundle, match=r"tiny/2: file user.onnx was changed"):
        served.load("tiny")
    assert served.get("tiny") is before


def test_load_swaps_and_keeps_the_mapping_of_calls_under_way(repository: Path, host: PluginHost) -> None:
    changes: list[tuple[str, int]] = []
    served = Repository(repository, host, RUNTIME, lambda name, version: changes.append((name, version)))
    served.load_newest()
    under_way = served.serving
    copy_version(repository, 2)
    bundle, previous = served.load("tiny", 2)
    assert (bundle.key, previous) == (("tiny", 2), 1)
    assert under_way["tiny"].key == ("tiny", 1)
    assert served.unload("tiny") == 2
    with pytest.raises(NothingServed, match="'tiny'"):
        served.get("tiny")
    assert changes == [("tiny", 1), ("tiny_ranker", 1), ("tiny", 2), ("tiny", 0)]


def test_repaired_bundle_loads_and_loses_its_problem(repository: Path, host: PluginHost) -> None:
    broken = copy_version(repository, 2) / "user.onnx"
    change_byte(broken)
    served = Repository(repository, host, RUNTIME)
    with pytest.raises(CorruptBundle):
        served.load("tiny", 2)
    change_byte(broken)  # back again
    served.load("tiny", 2)
    assert served.entry("tiny", 2).state == BundleState.SERVING


def test_bundle_without_its_plugin_says_what_to_install(repository: Path) -> None:
    served = Repository(repository, PluginHost.load([]), RUNTIME)
    served.load_newest()
    assert not served.serving
    problem = "tiny/1 needs model class 'tiny_gru' of tests 0.0.0, which is not installed; pip install tests"
    assert served.entry("tiny", 1).problem == problem
    with pytest.raises(PluginMissing):
        served.load("tiny", 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format_version": 99}, "format 99"),
        ({"name": "other"}, "says it is other/1"),
        ({"api_version": 99}, "needs plugin API 99"),
        ({"config": {"depth": 3}}, "unknown option 'depth'"),
    ],
)
def test_foreign_bundle_is_refused_by_name(
    repository: Path, host: PluginHost, change: dict[str, object], says: str
) -> None:
    rewrite_manifest(repository / "tiny" / "1", **change)
    with pytest.raises(ForeignBundle, match=says):
        Repository(repository, host, RUNTIME).load("tiny")


@pytest.mark.parametrize(
    "change", [{"vocabulary": "0" * 64}, {"dimension": 3}, {"inputs": None}, {"data": {"items": "many"}}]
)
def test_manifest_that_disagrees_with_its_files_is_refused(
    repository: Path, host: PluginHost, change: dict[str, object]
) -> None:
    rewrite_manifest(repository / "tiny" / "1", **change)
    with pytest.raises(CorruptBundle, match="export"):
        Repository(repository, host, RUNTIME).load("tiny")


def test_unknown_names_are_answered_with_those_that_exist(repository: Path, host: PluginHost) -> None:
    served = Repository(repository, host, RUNTIME)
    with pytest.raises(ModelNotFound, match="no model 'huge'; there are: tiny, tiny_ranker"):
        served.load("huge")
    with pytest.raises(ModelNotFound, match="no version 7 of model 'tiny'; there are: 1"):
        served.entry("tiny", 7)
    with pytest.raises(ModelNotFound, match="'tiny' does not serve; there are: none"):
        served.unload("tiny")
    with pytest.raises(ModelNotFound, match=r"no model '\.\./tiny'"):
        served.load("../tiny")


def test_hidden_and_foreign_names_are_no_versions(repository: Path, host: PluginHost) -> None:
    for name in ("tiny/.2-writing", "tiny/notes", "notes/of-mine", ".hidden/1"):
        (repository / name).mkdir(parents=True)
    (repository / "README").touch()
    assert [(e.name, e.version) for e in Repository(repository, host, RUNTIME).entries()] == [
        ("tiny", 1),
        ("tiny_ranker", 1),
    ]


@pytest.mark.parametrize("exists", [True, False])
def test_empty_or_missing_repository_says_which_command_makes_one(
    tmp_path: Path, host: PluginHost, exists: bool
) -> None:
    folder = tmp_path / "models"
    if exists:
        folder.mkdir()
    with pytest.raises(ConfigError, match=r"models (holds no bundle|does not exist); `honeyguide demo`.*export"):
        Repository(folder, host, RUNTIME)
