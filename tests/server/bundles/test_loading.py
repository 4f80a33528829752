"""What serves is in the server's own memory, and is what was hashed, whatever becomes of the files (`runtime.py`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnx
import pytest
from bundles import rewrite_manifest

from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.errors import CorruptBundle
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import (
    INDEX,
    ITEM_VECTORS,
    ITEMS,
    MANIFEST,
    RANK_GRAPH,
    USER_GRAPH,
    file_sha256,
    read_manifest,
)
from honeyguide.server.bundles.graph import Graph
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.retrieval import ExactSearch, IndexSearch
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import (
    Filter,
    RankRequest,
    RecommendRequest,
    SimilarItemsRequest,
)

FILES = (USER_GRAPH, RANK_GRAPH, ITEM_VECTORS, INDEX, ITEMS, MANIFEST)


def truncate(file: Path) -> None:
    """Does what ``cp`` over a file does: empties it, then writes something else."""
    file.write_bytes(b"another file")


def overwrite(file: Path) -> None:
    """Writes as many other bytes in place, and never makes it shorter."""
    with file.open("r+b") as opened:
        opened.write(bytes(255 - byte for byte in file.read_bytes()))


@pytest.mark.parametrize("spoil", [truncate, overwrite])
async def test_files_that_change_under_a_server_change_no_answer(
    start: Any, repository: Path, spoil: Callable[[Path], None]
) -> None:
    history = History(item_ids=["item-3", "item-7"])

    async def answers(running: Any) -> list[Any]:
        said = [
            await running.recommender.Recommend(RecommendRequest(history=history, k=60, explain=True)),
            await running.recommender.Recommend(RecommendRequest(k=5, filter=Filter(any_categories=["first"]))),
            await running.recommender.Rank(RankRequest(history=history, item_ids=["item-1", "item-50"])),
            await running.recommender.SimilarItems(SimilarItemsRequest(item_id="item-9", k=60)),
        ]
        for answer in said:
            answer.ClearField("request_id")
        return said

    pipelines = {"all": {"model": "tiny_ranker"}}
    async with start(repository=repository, pipelines=pipelines) as running:
        before = await answers(running)
        for file in FILES:
            spoil(repository / "tiny_ranker" / "1" / file)
            assert await answers(running) == before, file


def test_file_that_changes_while_its_bundle_is_read_is_refused(repository: Path, host: PluginHost) -> None:
    class Meddler(Runtime):
        """Changes a file when the first graph is opened: the vectors, which are read last, in the same size."""

        def session(self, *args: Any, **options: Any) -> Any:
            np.save(file, np.ones_like(np.load(file)))
            return Runtime.session(self, *args, **options)

    folder = repository / "tiny" / "1"
    file = folder / ITEM_VECTORS
    with pytest.raises(CorruptBundle, match=rf"^tiny/1: file {ITEM_VECTORS} was changed; export the model again$"):
        load_bundle(folder, host, Meddler(1, 1))


def test_file_that_nothing_reads_is_verified_as_well(repository: Path, host: PluginHost) -> None:
    folder = repository / "tiny" / "1"
    (folder / "notes").write_text("changed", "utf-8")
    rewrite_manifest(folder, files=read_manifest(folder).files | {"notes": "0" * 64})
    with pytest.raises(CorruptBundle, match="file notes was changed"):
        load_bundle(folder, host, Runtime(1, 1))


def test_weights_beside_a_graph_are_read_and_verified_with_it(repository: Path, host: PluginHost) -> None:
    folder = repository / "tiny" / "1"
    users = HistoryBatch.from_lists([[3, 7], [1]])
    expected = vectors_of(folder, host, users)
    beside = f"{USER_GRAPH}.data"  # what torch calls it
    onnx.save_model(
        onnx.load(folder / USER_GRAPH),
        folder / USER_GRAPH,
        save_as_external_data=True,
        location=beside,
        size_threshold=1024,
    )
    hashes = {name: file_sha256(folder / name) for name in (USER_GRAPH, beside)}
    rewrite_manifest(folder, files=read_manifest(folder).files | hashes, sizes={})
    np.testing.assert_array_equal(vectors_of(folder, host, users), expected)
    overwrite(folder / beside)
    with pytest.raises(CorruptBundle, match=f"file {beside} was changed"):
        load_bundle(folder, host, Runtime(1, 1))


def vectors_of(folder: Path, host: PluginHost, users: HistoryBatch) -> Any:
    (bundle,) = load_bundle(folder, host, Runtime(1, 1)).retrievers
    return bundle.read(bundle.encode(users))[0]


def test_session_keeps_none_of_the_bytes_it_was_opened_from(shared_repository: Path) -> None:
    graph = (shared_repository / "tiny" / "1" / USER_GRAPH).read_bytes()
    before = sys.getrefcount(graph)
    session = Runtime(1, 1).session(graph)
    assert sys.getrefcount(graph) == before
    assert session.get_inputs()


def test_graphs_of_every_request_have_run_on_a_large_batch_before_they_serve(
    shared_repository: Path, host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: dict[str, list[tuple[int, ...]]] = {}
    run = Graph.run

    def counting(graph: Graph, arrays: Any, outputs: Any, *more: Any) -> Any:
        answers = run(graph, arrays, outputs, *more)
        runs.setdefault(outputs[0], []).append(answers[0].shape)
        return answers

    monkeypatch.setattr(Graph, "run", counting)
    load_bundle(shared_repository / "tiny_ranker" / "1", host, Runtime(1, 1))
    assert runs["user_vector"][-1] == (32, 16)
    assert runs["scores"][-1] == (32, 20)  # as many candidates as it was fitted on


@pytest.mark.parametrize(("kind", "search"), [("flat", ExactSearch), ("hnsw", IndexSearch)])
def test_index_is_kept_where_it_is_faster_and_compared_in_any_case(
    repository: Path, host: PluginHost, kind: str, search: type
) -> None:
    folder = repository / "tiny" / "1"
    rewrite_manifest(folder, index={"kind": kind, "recall_at_100": 1.0})
    (bundle,) = load_bundle(folder, host, Runtime(1, 1)).retrievers
    assert isinstance(bundle.retriever, search)
    faiss.write_index(faiss.IndexFlatIP(16), str(folder / INDEX))
    rewrite_manifest(folder, files=read_manifest(folder).files | {INDEX: file_sha256(folder / INDEX)}, sizes={})
    with pytest.raises(CorruptBundle, match=r"index are \(0, 16\), the manifest says \(60, 16\)"):
        load_bundle(folder, host, Runtime(1, 1))


def test_item_vectors_cannot_be_written(shared_repository: Path, host: PluginHost) -> None:
    (bundle,) = load_bundle(shared_repository / "tiny" / "1", host, Runtime(1, 1)).retrievers
    assert not bundle.item_vectors.flags.writeable
