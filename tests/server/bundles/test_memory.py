"""What a bundle holds is counted: its arrays exactly, its graphs and its index as their files."""

from __future__ import annotations

from pathlib import Path

from bundles import rewrite_manifest

from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import INDEX
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.memory import held_bytes
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime

RUNTIME = Runtime(1, 1)


def test_every_array_counts_once_and_graphs_as_their_files(shared_repository: Path, host: PluginHost) -> None:
    (bundle,) = load_bundle(shared_repository / "tiny_ranker" / "1", host, RUNTIME).retrievers
    graphs = sum(size for name, size in bundle.manifest.sizes.items() if name.endswith(".onnx"))
    vectors = bundle.item_vectors.nbytes
    copies = 3  # as rows, and as columns for retrieval and for similar items
    texts = 60 * (2 * 60 + 100)  # ids and titles, about
    assert graphs + copies * vectors < held_bytes(bundle) < graphs + copies * vectors + 2 * texts + 10_000


def test_an_index_counts_where_it_is_kept(repository: Path, host: PluginHost) -> None:
    folder = repository / "tiny" / "1"
    flat = held_bytes(load_bundle(folder, host, RUNTIME))
    rewrite_manifest(folder, index={"kind": "hnsw", "recall_at_100": 1.0})
    bundle = load_bundle(folder, host, RUNTIME)
    assert held_bytes(bundle) == flat + bundle.manifest.sizes[INDEX]


def test_a_joint_bundle_counts_without_its_retrievers(shared_joint_repository: Path, host: PluginHost) -> None:
    served = Repository(shared_joint_repository, host, RUNTIME)
    served.load_newest()
    by_name = {entry.name: entry for entry in served.entries()}
    assert 0 < by_name["joint"].memory_bytes < held_bytes(served.get("joint")) + by_name["tiny"].memory_bytes
    assert all(entry.load_time_ms > 1_600_000_000_000 for entry in by_name.values())
