"""One odd folder breaks nobody: what lies in a repository is listed, with its reason where it cannot be served."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from bundles import rewrite_manifest

from honeyguide.sdk.errors import BundleError, ConfigError
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import MANIFEST
from honeyguide.server.bundles import folder as folders
from honeyguide.server.bundles.folder import check_folder, list_oddities, list_versions
from honeyguide.server.bundles.repository import BundleState, Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.v1 import model_service_pb2 as pb
from honeyguide.v1.recommender_service_pb2 import RecommendRequest

pytestmark = pytest.mark.slow(6)


def test_versions_are_listed_newest_first_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    for name in ("b/1", "b/10", "b/2", "b/notes", "a/3", "empty", ".hidden/1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    assert list_versions(tmp_path) == {"a": [3], "b": [10, 2, 1]}
    assert list_oddities(tmp_path) == []
    check_folder(tmp_path)


def test_what_is_no_repository_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; `honeyguide demo`"):
        check_folder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no bundle; `honeyguide demo`"):
        check_folder(tmp_path)
    with pytest.raises(BundleError, match=r"^the repository cannot be read \(No such file or directory\): put it back"):
        list_versions(tmp_path / "nowhere")


def replaced(make: Callable[[Path], Any], name: str = MANIFEST) -> Callable[[Path], None]:
    """Returns what puts something else in the place of a bundle's file."""

    def spoil(bundle: Path) -> None:
        (bundle / name).unlink()
        make(bundle / name)

    return spoil


def manifest(**changes: Any) -> Callable[[Path], None]:
    return lambda bundle: rewrite_manifest(bundle, **changes)


def listening(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(file))  # a socket's path must be short


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(1 << 30)


ODD_VERSIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "deep": (replaced(lambda file: file.write_text("[" * 200_000)), "cannot be read"),
    "deep and whole": (replaced(lambda file: file.write_text("[" * 200_000 + "]" * 200_000)), "nested deeper"),
    "half a character": (manifest(name="\ud800"), "cannot be read"),
    "control characters": (manifest(name="\x1b]0;x\x07"), r"says it is \x1b]0;x\x07/"),
    "metrics": (manifest(metrics={f"metric-{number}": 0.5 for number in range(300_000)}), "larger than 1,048,576"),
    "gigabyte": (replaced(sparse), "larger than 1,048,576"),
    "pipe": (replaced(os.mkfifo), "bundle.json is a pipe, not a file"),
    "socket": (replaced(listening), "bundle.json is a socket, not a file"),
    "folder": (replaced(Path.mkdir), "bundle.json is a folder, not a file"),
    "device": (replaced(lambda file: file.symlink_to("/dev/zero")), "bundle.json is a link, not a file"),
    "link in a loop": (replaced(lambda file: file.symlink_to(file)), "bundle.json is a link, not a file"),
    "no manifest": (replaced(lambda file: None), "no bundle.json"),
    "NUL in a file's name": (manifest(files={"user\0.onnx": "0" * 64}), r"file user\x00.onnx is missing"),
    "a way out": (manifest(files={"../1/user.onnx": "0" * 64}), "file ../1/user.onnx is missing"),
    "a file's pipe": (replaced(os.mkfifo, "user.onnx"), "file user.onnx is a pipe, not a file"),
    "a file's link": (
        replaced(lambda file: file.symlink_to("../1/user.onnx"), "user.onnx"),
        "file user.onnx is a link, not a file",
    ),
    "a file's hole": (replaced(sparse, "item_vectors.npy"), "file item_vectors.npy was changed"),
    "bytes as a file's name": (
        lambda bundle: os.close(os.open(os.fsencode(bundle) + b"/\xff\x1b", os.O_CREAT)),
        r"file \udcff\x1b is not in the manifest",
    ),
}


def test_odd_versions_fail_alone_each_with_its_reason(
    repository: Path, host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    for version, (spoil, _) in enumerate(ODD_VERSIONS.values(), 2):
        shutil.copytree(repository / "tiny" / "1", repository / "tiny" / str(version))
        rewrite_manifest(repository / "tiny" / str(version), version=version)
        spoil(repository / "tiny" / str(version))
    served = Repository(repository, host, Runtime(1, 1))
    served.load_newest()
    found = {(entry.name, entry.version): entry for entry in served.entries()}
    for version, (odd, (_, reason)) in enumerate(ODD_VERSIONS.items(), 2):
        entry = found.pop(("tiny", version))
        assert entry.state == BundleState.FAILED, odd
        assert reason in entry.problem, odd
        assert entry.problem.isprintable(), odd
        assert len(entry.problem) <= 500, odd
        with pytest.raises(BundleError):
            served.load("tiny", version)
    assert {key: entry.state for key, entry in found.items()} == {
        ("tiny", 1): BundleState.SERVING,
        ("tiny_ranker", 1): BundleState.SERVING,
    }


ODD_FOLDERS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "too high": (lambda root: (root / "tiny" / ("9" * 20)).mkdir(), "tiny", f"tiny/{'9' * 20} is no version: 1 to 18"),
    "zeros": (lambda root: (root / "tiny" / "007").mkdir(), "tiny", "tiny/007 is no version"),
    "a file": (lambda root: (root / "tiny" / "3").touch(), "tiny", "tiny/3 is no folder"),
    "a pipe": (lambda root: os.mkfifo(root / "tiny" / "4"), "tiny", "tiny/4 is no folder"),
    "a link out": (
        lambda root: (root / "tiny" / "5").symlink_to(shutil.copytree(root / "tiny" / "1", root.parent / "5")),
        "tiny",
        "tiny/5 is a link out of the repository",
    ),
    "a loop": (lambda root: (root / "tiny" / "6").symlink_to("6"), "tiny", "tiny/6 is a link that leads nowhere"),
    "a link to a file": (
        lambda root: (root / "tiny" / "7").symlink_to("1/user.onnx"),
        "tiny",
        "tiny/7 is a link to something that is no folder",
    ),
    "a model's link out": (lambda root: (root / "out").symlink_to("/"), "out", "out is a link out of the repository"),
    "a model's loop": (lambda root: (root / "loop").symlink_to("loop"), "loop", "loop is a link that leads nowhere"),
    "bytes": (
        lambda root: (root / os.fsdecode(b"\xff\xfe") / "1").mkdir(parents=True),
        r"\udcff\udcfe",
        r"'\udcff\udcfe' is no name of a model; allowed: ",
    ),
    "markup": (lambda root: (root / "\x1b[31m" / "1").mkdir(parents=True), r"\x1b[31m", "is no name of a model"),
    "long": (lambda root: (root / ("a" * 255) / "1").mkdir(parents=True), "a" * 63 + "…", "is no name of a model"),
}


async def test_odd_folders_are_listed_with_their_reasons_and_nothing_else_is_touched(
    start: Any, repository: Path
) -> None:
    for make, _, _ in ODD_FOLDERS.values():
        make(repository)
    metrics = {f"metric-{number}": 0.5 for number in range(30_000)}  # as large as a manifest may be
    for version in range(10, 15):
        (repository / "tiny_ranker" / str(version)).mkdir()
        shutil.copy(repository / "tiny_ranker" / "1" / MANIFEST, repository / "tiny_ranker" / str(version))
        rewrite_manifest(repository / "tiny_ranker" / str(version), version=version, metrics=metrics)
    async with start(repository) as running:
        listed: list[pb.Model] = []
        token, pages = "", 0
        while token or not pages:
            answer = await running.models.ListModels(pb.ListModelsRequest(page_size=1000, page_token=token))
            assert answer.ByteSize() < 4_000_000
            listed += answer.models
            token, pages = answer.next_page_token, pages + 1
        summary = running.server.summary()
    assert pages > 1
    for odd, (_, name, reason) in ODD_FOLDERS.items():
        (entry,) = [model for model in listed if reason in model.problem and model.name == name]
        assert (entry.version, entry.state) == (0, pb.MODEL_STATE_FAILED), odd
        assert entry.problem.isprintable(), odd
    assert {m.name: m.version for m in listed if m.state == pb.MODEL_STATE_SERVING} == {"tiny": 1, "tiny_ranker": 1}
    assert len(listed) == 2 + 5 + len(ODD_FOLDERS)
    assert sum(line.startswith("not served: ") for line in summary) == 5 + len(ODD_FOLDERS)


def test_link_within_the_repository_is_followed(repository: Path, add_version: Any, host: PluginHost) -> None:
    add_version(repository)
    (repository / ".store").mkdir()
    shutil.move(repository / "tiny" / "2", repository / ".store" / "of-today")
    (repository / "tiny" / "2").symlink_to("../.store/of-today")
    served = Repository(repository, host, Runtime(1, 1))
    assert served.load("tiny")[0].key == ("tiny", 2)


def test_folder_that_may_not_be_read_fails_alone(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visible = folders._visible

    def refusing(folder: str | Path) -> Any:  # root may read everything, so that modes would test nothing
        if Path(folder).name == "tiny":
            raise PermissionError(13, "Permission denied")
        return visible(folder)

    monkeypatch.setattr(folders, "_visible", refusing)
    assert list_versions(repository) == {"tiny_ranker": [1]}
    assert list_oddities(repository) == [("tiny", "tiny cannot be read (Permission denied)")]


def test_file_that_may_not_be_read_fails_alone(
    repository: Path, host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refusing(path: Any, *rest: Any, **more: Any) -> int:
        if Path(path).parts[-3:] == ("tiny", "1", MANIFEST):
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)
    served = Repository(repository, host, Runtime(1, 1))
    served.load_newest()
    first, second = served.entries()
    assert (first.state, second.state) == (BundleState.FAILED, BundleState.SERVING)
    assert first.problem == "tiny/1: bundle.json cannot be read (Permission denied); export the model again"


async def test_repository_deleted_while_it_serves_takes_nothing_down(start: Any, repository: Path) -> None:
    async with start(repository) as running:
        shutil.rmtree(repository)
        listed = (await running.models.ListModels(pb.ListModelsRequest())).models
        assert [(m.name, m.version, m.state) for m in listed] == [
            ("tiny", 1, pb.MODEL_STATE_SERVING),
            ("tiny_ranker", 1, pb.MODEL_STATE_SERVING),
        ]
        assert (await running.models.GetModel(pb.GetModelRequest(name="tiny"))).model == listed[0]
        assert (await running.recommender.Recommend(RecommendRequest(pipeline="tiny"))).items
        for call in (
            running.models.LoadModel(pb.LoadModelRequest(name="tiny")),
            running.models.GetModel(pb.GetModelRequest(name="tiny", version=7)),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match="the repository cannot be read") as caught:
                await call
            assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert running.server.summary()
