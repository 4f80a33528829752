"""Loads a bundle: reads each file once, verifies what it read, and proves that the bundle answers before it serves."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import API_VERSION, DataSpec, Model
from honeyguide.sdk.errors import (
    BundleError,
    ConfigError,
    CorruptBundle,
    ForeignBundle,
    HoneyguideError,
    PluginMissing,
)
from honeyguide.sdk.examples import example_histories
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import (
    EXPLAIN_GRAPH,
    INDEX,
    ITEM_GRAPH,
    ITEM_VECTORS,
    ITEMS,
    NEIGHBOURS,
    RANK_GRAPH,
    STEP_GRAPH,
    USER_GRAPH,
    Manifest,
    read_manifest,
    read_verified,
    verify,
)
from honeyguide.server.bundles.bundle import JointBundle, LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.graph import Graph
from honeyguide.server.bundles.retrieval import ExactSearch, IndexSearch, Retriever
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.bundles.scoring import ScoringBundle
from honeyguide.server.bundles.user_cache import VectorCache

__all__ = ["depends_on_now", "load_bundle"]

_MOMENTS = (0, 1_000, 20_000, 400_000, 20_000_000, 40_000_000_000, 320_000_000_000)
"""Moments of requests, milliseconds after the newest event: at once, seconds, minutes, hours, one year and ten."""
_WARM_USERS, _WARM_LENGTH = 32, 64
"""What is computed once before a bundle serves: a batch as it comes under load, of histories as long as most."""
_Read = Callable[[str], bytes]
"""Returns the verified content of a file of the bundle."""


def _no_retriever(name: str, version: int) -> RetrievingBundle:
    raise BundleError(f"{name}/{version} cannot be had here: load the joint bundle from a repository")


def load_bundle(
    folder: Path,
    host: PluginHost,
    runtime: Runtime,
    retriever: Callable[[str, int], RetrievingBundle] = _no_retriever,
    cache_users: int = 0,
    manifest: Manifest | None = None,
) -> LoadedBundle:
    """Loads and proves a bundle. Its files may change afterwards: everything is in memory of this process's own.

    One file at a time is in memory twice, as it lies on disk and as it is used.

    Args:
        folder: the bundle.
        host: the plugins.
        runtime: opens the graphs.
        retriever: returns the bundle of that name and version, for a joint bundle; raises `BundleError`.
        cache_users: how many users' vectors it keeps.
        manifest: its manifest, as it was read and found to be signed; None: it is read here.

    Raises `BundleError`, naming the bundle and what to do.
    """
    label = f"{folder.parent.name}/{folder.name}"
    try:
        manifest = manifest or read_manifest(folder)
        graphs = _graph_files(manifest)
        arrays = _arrays(manifest)
        verify(folder, manifest, later={ITEMS, *arrays, *graphs, *chain.from_iterable(graphs.values())})
        read: _Read = partial(read_verified, folder, manifest)
        parts = manifest, _model(manifest, host), Catalogue.read(read(ITEMS)), _graphs(graphs, read, runtime)
        bundle: LoadedBundle
        if manifest.retrievers:
            bundle = JointBundle(*parts, _retrievers(manifest, retriever))
        else:
            moving = depends_on_now(
                parts[1], manifest.data, parts[3][USER_GRAPH], manifest.user_output, steps=manifest.steps
            )
            cached = 0 if moving else cache_users
            tables = [np.load(io.BytesIO(read(name)), allow_pickle=False) for name in arrays if name != INDEX]
            for table in tables:
                table.flags.writeable = False
            if manifest.scores_catalogue:
                bundle = ScoringBundle(*parts, tables[0] if tables else None, cached)
            else:
                index = _open_index(manifest, read(INDEX), tables[0])
                bundle = RetrievingBundle(*parts, tables[0], index, VectorCache(cached))
        _check(bundle)
        _warm(bundle)
    except BundleError:
        raise
    except HoneyguideError as error:  # of a plugin, say: it is this bundle's alone
        raise BundleError(f"{label}: {error.message}") from error
    except Exception as error:  # boundary: three libraries and a plugin, each with errors of its own
        raise CorruptBundle(
            f"{label} does not load or does not answer its warm-up batch ({type(error).__name__}): "
            "export the model again"
        ) from error
    return bundle


def _arrays(manifest: Manifest) -> list[str]:
    """Returns the bundle's files that are neither graphs nor the catalogue."""
    if manifest.scores_catalogue:
        return [NEIGHBOURS] if NEIGHBOURS in manifest.files else []
    return [] if manifest.retrievers else [ITEM_VECTORS, INDEX]


def _graph_files(manifest: Manifest) -> dict[str, list[str]]:
    """Returns the bundle's graphs, each with the files of its weights; there are none below 2 GB."""
    graphs = {
        USER_GRAPH: not manifest.retrievers,
        RANK_GRAPH: manifest.ranks,
        STEP_GRAPH: manifest.steps,
        EXPLAIN_GRAPH: manifest.explains,
        ITEM_GRAPH: bool(manifest.item_inputs),
    }
    return {
        graph: [name for name in manifest.files if name.startswith(f"{graph}.")]
        for graph, present in graphs.items()
        if present
    }


def _graphs(files: Mapping[str, Sequence[str]], read: _Read, runtime: Runtime) -> dict[str, Graph]:
    # A step takes less time than waking a second thread may: 0.7 ms at the 99th percentile, not 15.
    threads = {STEP_GRAPH: 1}
    return {
        name: Graph(
            runtime.session(read(name), threads.get(name, 0), name=name, weights={file: read(file) for file in beside})
        )
        for name, beside in files.items()
    }


def _open_index(manifest: Manifest, content: bytes, item_vectors: NDArray[np.float32]) -> Retriever:
    """Opens the index; raises `CorruptBundle` where it is not over as many item vectors, or not as long ones.

    A flat index is not kept: numpy scores as many items up to three times as fast.
    """
    index = faiss.read_index(faiss.PyCallbackIOReader(io.BytesIO(content).read))  # type: ignore[attr-defined]  # of its SWIG part
    _compare(manifest, "index", (index.ntotal, index.d), (manifest.data.items, manifest.dimension))
    exact = ExactSearch(item_vectors)
    return exact if manifest.index is not None and manifest.index.kind == "flat" else IndexSearch(index, exact)


def _compare(manifest: Manifest, part: str, size: object, expected: object) -> None:
    if size != expected:
        label = f"{manifest.name}/{manifest.version}"
        raise CorruptBundle(f"{label}: {part} are {size}, the manifest says {expected}; export the model again")


def _retrievers(manifest: Manifest, retriever: Callable[[str, int], RetrievingBundle]) -> tuple[RetrievingBundle, ...]:
    """Returns what a joint bundle pins; raises `BundleError` where it does not fit together."""
    label = f"{manifest.name}/{manifest.version}"
    pins = []
    for name, version in manifest.retrievers:
        try:
            pinned = retriever(name, version)
        except BundleError as error:
            raise BundleError(f"{label} needs its retriever {name}/{version}: {error.message}") from error
        # One history is made for all of them, with the figures of one data set.
        if differences := pinned.manifest.differences(manifest):
            raise BundleError(
                f"{label} and its retriever {name}/{version} were made from other data: their "
                f"{' and '.join(differences)} differ; train and export both from one data set"
            )
        pins.append(pinned)
    return tuple(pins)


def _check(bundle: LoadedBundle) -> None:
    """Compares every part with the manifest and runs a batch through all of them."""
    manifest, items = bundle.manifest, bundle.manifest.data.items
    label = f"{manifest.name}/{manifest.version}"
    _compare(manifest, "items", len(bundle.catalogue), items)
    if isinstance(bundle, RetrievingBundle):
        _compare(manifest, "item vectors", bundle.item_vectors.shape, (items, manifest.dimension))
    if not bundle.catalogue.unique or bundle.catalogue.vocabulary() != manifest.vocabulary:
        raise CorruptBundle(f"{label}: the item ids are not those of the manifest; export the model again")

    histories = bundle.recent(example_histories(manifest.data, (1, 3)))
    batch, width = 2, min(2, items)
    arrays = bundle.encode(histories)
    rows = np.arange(batch * width, dtype=np.int32).reshape(batch, width) % items
    answers: dict[str, tuple[NDArray[np.float32], tuple[int, ...]]] = {}
    if isinstance(bundle, RetrievingBundle):
        vectors, states = bundle.read(arrays)
        answers["user vectors"] = vectors, (batch, bundle.width)
        if manifest.steps:
            next_states, next_vectors = bundle.step(states, histories)
            answers["vectors after a step"] = next_vectors, vectors.shape
            answers["states after a step"] = next_states, states.shape
    if manifest.ranks:
        sources = np.ones((batch, width, len(bundle.retrievers)), np.float32)
        answers["ranker's scores"] = bundle.rank(arrays, rows, sources), (batch, width)
    if manifest.explains:
        answers["explanations"] = bundle.explain(arrays, rows), (batch, width, min(3, manifest.max_length))
    for part, (answer, shape) in answers.items():
        if answer.shape != shape:
            raise CorruptBundle(f"{label}: {part} have shape {answer.shape}, not {shape}; export the model again")
        if not np.isfinite(answer).all():
            raise CorruptBundle(f"{label}: {part} are not finite; train and export the model again")


def _warm(bundle: LoadedBundle) -> None:
    """Runs a large batch through the graphs of every request, so that the memory it takes is there when users come."""
    manifest = bundle.manifest
    one = example_histories(manifest.data, [min(manifest.max_length, _WARM_LENGTH)])
    arrays = bundle.encode(bundle.recent(one.take(np.zeros(_WARM_USERS, np.int64))))
    if isinstance(bundle, RetrievingBundle):
        bundle.read(arrays)
    if manifest.ranks:
        rows = np.tile(np.arange(min(manifest.candidates, manifest.data.items), dtype=np.int32), (_WARM_USERS, 1))
        bundle.rank(arrays, rows, np.ones((*rows.shape, len(bundle.retrievers)), np.float32))


def depends_on_now(
    model: Model, data: DataSpec, user_graph: Graph, output: str = "user_vector", *, steps: bool
) -> bool:
    """Whether the same history comes to another vector or state at another moment; then nothing of it can be kept.

    Encoding it differently is not enough: every graph takes every input, also one that the ranker alone reads.
    """
    histories = example_histories(data, [3]).take(np.zeros(len(_MOMENTS), np.int64))
    if histories.times_ms is None:
        return False
    histories = dataclasses.replace(histories, request_times_ms=histories.times_ms[-1] + np.array(_MOMENTS))
    arrays = model.encode(histories)
    if not any(bool((array != array[:1]).any()) for array in arrays.values()):
        return False
    outputs = [output, "state"] if steps else [output]
    # One at a time: rows of one batch may differ by rounding alone.
    moments = [model.encode(histories.take(np.array([place]))) for place in range(len(_MOMENTS))]
    first, *others = (user_graph.run(moment, outputs) for moment in moments)
    return any(not np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def _model(manifest: Manifest, host: PluginHost) -> Model:
    label = f"{manifest.name}/{manifest.version}"
    if manifest.api_version != API_VERSION:
        raise ForeignBundle(
            f"{label} needs plugin API {manifest.api_version}; this server has {API_VERSION}: "
            f"{'upgrade honeyguide' if manifest.api_version > API_VERSION else 'export the model again'}"
        )
    if manifest.model_class not in host.models:
        broken = [p.name for p in host.plugins if p.error is not None]
        raise PluginMissing(
            f"{label} needs model class {manifest.model_class!r} of {manifest.plugin}, which is not installed"
            + (f" (plugins that did not load: {', '.join(broken)})" if broken else "")
            + f"; pip install {manifest.plugin.partition(' ')[0] or 'its plugin'}"
        )
    try:
        return host.build(manifest.model_class, manifest.config, manifest.data)
    except ConfigError as error:
        raise ForeignBundle(
            f"{label} was made by {manifest.plugin}, whose options differ from the installed plugin's: {error}; "
            "install that version or export the model again"
        ) from error
