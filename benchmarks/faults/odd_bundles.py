"""Puts bundles that are corrupt, foreign, half there or changed under the server into a repository that serves."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from faults.callers import Caller, recommend_request
from faults.registry import Bench, Outcome
from faults.server import FaultServer
from honeyguide.v1.model_service_pb2 import ListModelsRequest, LoadModelRequest, ModelState

__all__ = ["odd_bundles", "overwritten_bundle"]

_MANIFEST = "bundle.json"
Spoil = Callable[[Path], object]
"""Makes a good bundle's folder an odd one."""


def _flip(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return spoil


def _cut(name: str) -> Spoil:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def _instead(name: str, content: bytes) -> Spoil:
    return lambda folder: (folder / name).write_bytes(content)


def _fifo(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def _outside(folder: Path) -> Path:
    """Returns a good copy of the bundle that lies outside of the repository."""
    place = folder.parents[2] / "outside"
    if not place.exists():
        shutil.copytree(folder, place)
    return place


def _linked_folder(folder: Path) -> None:
    place = _outside(folder)
    shutil.rmtree(folder)
    folder.symlink_to(place)


def _linked_file(folder: Path) -> None:
    place = _outside(folder)
    (folder / "user.onnx").unlink()
    (folder / "user.onnx").symlink_to(place / "user.onnx")


def _loop(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder)


def _of_another(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.parents[1] / "recent" / "1", folder)


def _half(*left_out: str) -> Spoil:
    """Leaves files out as a copy does that was broken off."""

    def spoil(folder: Path) -> None:
        for file in list(folder.iterdir()):
            if file.name in left_out or not left_out:
                file.unlink()

    return spoil


def _folder_for_file(folder: Path) -> None:
    (folder / _MANIFEST).unlink()
    (folder / _MANIFEST).mkdir()


_FILES = ("item_vectors.npy", "user.onnx", "index.faiss", "items.parquet")
SPOILS: dict[str, Spoil] = {
    **{f"a bit of {name} changed": _flip(name) for name in (*_FILES, _MANIFEST)},
    **{f"{name} cut short": _cut(name) for name in (*_FILES, _MANIFEST)},
    **{f"{name} left out": _half(name) for name in (*_FILES, _MANIFEST)},
    "nothing but the manifest": _half(*_FILES),
    "empty folder": _half(),
    "another file added": _instead("more.bin", b"more"),
    "manifest of {}": _instead(_MANIFEST, b"{}"),
    "manifest of a list": _instead(_MANIFEST, b"[]"),
    "manifest of 200,000 [": _instead(_MANIFEST, b"[" * 200_000),
    "manifest that is no UTF-8": _instead(_MANIFEST, b"\xff\xfe\x00{"),
    "graph that is none": _instead("user.onnx", b"PK\x03\x04"),
    "bundle of another model": _of_another,
    "folder that leads out of the repository": _linked_folder,
    "file that leads out of the repository": _linked_file,
    "folder that leads to itself": _loop,
    "fifo for a manifest": _fifo(_MANIFEST),
    "fifo for a graph": _fifo("user.onnx"),
    "folder for a manifest": _folder_for_file,
}


def odd_bundles(bench: Bench) -> Outcome:
    """Puts each odd bundle where version 2 would be, loads it, and starts servers over some; version 1 answers on."""
    outcome = Outcome(figures={"odd_bundles": 0, "refused": 0, "starts": 0, "longest_load_s": 0.0})
    repository = _first_versions(bench)
    for name in ("99999999999999999999", os.fsdecode(b"\xff\xfe"), "x", "-1"):
        (repository / "near" / name).mkdir()  # odd names lie there all along
    (repository / "\x1b[31m").mkdir()
    (repository / "near" / "7").write_text("a file")
    folder = repository / "near" / "2"
    with bench.server(repository=str(repository)) as server, Caller(server.address) as caller:
        before = _answers(caller)
        for name, spoil in SPOILS.items():
            shutil.copytree(bench.models / "near" / "2", folder)
            spoil(folder)
            outcome.add(odd_bundles=1)
            begun = time.monotonic()
            try:
                caller.models.LoadModel(LoadModelRequest(name="near", version=2), timeout=20)
                outcome.expect(False, f"{name}: it was loaded")
            except grpc.RpcError as error:
                right = error.code().name in ("FAILED_PRECONDITION", "NOT_FOUND")
                outcome.add(refused=right)
                outcome.expect(right, f"{name}: {error.code().name} {error.details()}")
                outcome.expect("near" in str(error.details()), f"{name}: the error names no bundle: {error.details()}")
            longest = max(outcome.figures["longest_load_s"], time.monotonic() - begun)
            outcome.figures["longest_load_s"] = round(longest, 2)
            _others_serve(caller, before, name, outcome)
            _remove(folder)
        shutil.copytree(bench.models / "near" / "2", folder)
        caller.models.LoadModel(LoadModelRequest(name="near", version=2), timeout=20)
        _remove(folder)
    for name in list(SPOILS)[:: bench.amount(3, 12)]:
        shutil.copytree(bench.models / "near" / "2", folder)
        SPOILS[name](folder)
        with _started(bench, repository) as server, Caller(server.address) as caller:
            outcome.add(starts=1)
            _others_serve(caller, before, f"start over {name}", outcome)
        _remove(folder)
    return outcome


def overwritten_bundle(bench: Bench) -> Outcome:
    """Writes noise over every file of a bundle that serves: answers stay, and the next load is refused by name."""
    outcome = Outcome(figures={"files": 0, "answers_changed": 0})
    repository = _first_versions(bench)
    with bench.server(repository=str(repository)) as server, Caller(server.address) as caller:
        before = _answers(caller)
        for file in sorted((repository / "near" / "1").iterdir()):
            with file.open("r+b") as opened:  # in place: the same file, as `cp` over it does
                opened.write(os.urandom(file.stat().st_size))
            outcome.add(files=1)
            changed = _answers(caller) != before
            outcome.add(answers_changed=changed)
            outcome.expect(not changed, f"answers changed with {file.name}")
        try:
            caller.models.LoadModel(LoadModelRequest(name="near", version=1), timeout=20)
            outcome.expect(False, "the overwritten bundle was loaded")
        except grpc.RpcError as error:
            outcome.expect(error.code().name == "FAILED_PRECONDITION", f"{error.code().name} {error.details()}")
        outcome.expect(_answers(caller) == before, "answers changed with the load that was refused")
        shutil.rmtree(repository)
        outcome.expect(_answers(caller) == before, "answers changed with the repository deleted")
        outcome.expect(_listed(caller) is not None, "ListModels fails with the repository deleted")
    return outcome


def _first_versions(bench: Bench) -> Path:
    repository = bench.folder / "models"
    for name in ("near", "recent", "both"):
        shutil.copytree(bench.models / name / "1", repository / name / "1")
    return repository


def _started(bench: Bench, repository: Path) -> FaultServer:
    return bench.server("again", repository=str(repository))


def _answers(caller: Caller) -> list[object]:
    asked = [recommend_request("item-3", "item-8", pipeline=name) for name in ("near", "both")]
    answers = [caller.recommender.Recommend(request, timeout=10) for request in asked]
    return [([item.item_id for item in answer.items], str(answer.models)) for answer in answers]


def _listed(caller: Caller) -> list[object] | None:
    try:
        return list(caller.models.ListModels(ListModelsRequest(page_size=1000), timeout=10).models)
    except grpc.RpcError:
        return None


def _others_serve(caller: Caller, before: list[object], name: str, outcome: Outcome) -> None:
    outcome.expect(_answers(caller) == before, f"{name}: the others answer otherwise")
    listed: list = _listed(caller) or []
    serving = {model.name for model in listed if model.state == ModelState.MODEL_STATE_SERVING and model.version == 1}
    outcome.expect(
        serving == {"near", "recent", "both"}, f"{name}: of the good bundles {serving} are listed as serving"
    )
    odd = [model for model in listed if (model.name, model.version) == ("near", 2)]
    outcome.expect(all(model.problem for model in odd), f"{name}: listed without a reason")


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)
