"""Assembles a bundle, proves it, and publishes it under the next version by one rename."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from honeyguide.exporters.graphs import export_rank_graph, export_user_graph
from honeyguide.exporters.index import EXACT_UP_TO, build_index, write_index
from honeyguide.exporters.proof import open_session, prove_graphs, prove_ranking, user_vectors
from honeyguide.sdk import EvaluationSet, IndexInfo, Manifest, Model, config_to
from honeyguide.sdk.errors import ExportError, InvalidArgument
from honeyguide.sdk.manifest import (
    INDEX,
    ITEM_VECTORS,
    ITEMS,
    MANIFEST,
    NAME_PATTERN,
    RANK_GRAPH,
    USER_GRAPH,
    file_sha256,
)

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["export_bundle", "published_versions"]

_LOCK = ".export-lock"
_UNFINISHED = ".export-unfinished"
_TUNING_USERS = 1_000  # their recall is known to ± .002; more only cost time


def export_bundle(
    repository: Path,
    name: str,
    *,
    model: Model,
    network: nn.Module,
    items: pl.DataFrame,
    evaluation: EvaluationSet,
    plugin: str,
    metrics: Mapping[str, float],
    candidates: int = 0,
    weights: str = "",
    exact_up_to: int = EXACT_UP_TO,
    progress: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Writes ``repository/name/<next version>/``, proven, or nothing at all.

    Exporters of one name wait for each other. The folder appears by rename with every byte on disk, so a reader never
    sees half a bundle; what a killed export left behind has no version's name, and the next export removes it.

    Args:
        repository: the folder of bundles; made where it is missing.
        name: what the bundle is called: lower-case letters, digits, "_" and "-", starting with a letter, at most 64.
        model: the model the network belongs to.
        network: the trained network, on the CPU; it is put into evaluation mode.
        items: the catalogue, row i of the vectors: item_id, title, categories, popularity.
        evaluation: validation users, at least one; the proof ranks for them.
        plugin: distribution and version of the model's plugin, such as "honeyguide 0.1.0".
        metrics: offline metrics to write down, such as "retrieve/ndcg@10".
        candidates: how many items to retrieve for the ranker; 0 exports no ranker.
        weights: SHA-256 of the checkpoint's weights, "" where the network comes from none.
        exact_up_to: the largest catalogue that gets an exact index.
        progress: called with what is being done, for a person who waits.

    Returns:
        The published manifest.

    Raises:
        ExportError: where the network cannot be exported or the bundle fails its own proof.
        InvalidArgument: for a name that no bundle can have.
    """
    from filelock import FileLock

    if not NAME_PATTERN.fullmatch(name):
        raise InvalidArgument("name", name, f"text that matches {NAME_PATTERN.pattern}")
    _check(model, network, items, evaluation, candidates)
    home = repository / name
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / _LOCK):  # released by the system if the process dies
        folder = home / _UNFINISHED
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            network.eval()
            parts = _assemble(folder, model, network, items, evaluation, candidates, exact_up_to, progress)
            manifest = Manifest(
                name=name,
                version=max(published_versions(home), default=0) + 1,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                model_class=model.name,
                api_version=model.api_version,
                plugin=plugin,
                config=config_to(model.config),
                weights=weights,
                data=model.data,
                inputs=model.inputs(),
                dimension=parts.dimension,
                max_length=model.max_length,
                ranks=candidates > 0,
                candidates=candidates,
                steps=False,
                explains=False,
                retrievers=(),
                vocabulary=hashlib.sha256("\n".join(items["item_id"]).encode()).hexdigest(),
                index=parts.index,
                metrics=dict(metrics),
                proof=parts.proof,
                files={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
            )
            (folder / MANIFEST).write_text(manifest.to_json(), "utf-8")
            for path in (*folder.iterdir(), folder):
                _sync(path)
            folder.rename(home / str(manifest.version))
            _sync(home)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return manifest


def published_versions(home: Path) -> list[int]:
    """Returns the versions in a bundle's folder, ascending; any other name is no version."""
    return sorted(int(path.name) for path in home.iterdir() if path.name.isdecimal() and path.is_dir())


@dataclass(frozen=True, slots=True)
class _Parts:
    """Says what `_assemble` made and measured."""

    dimension: int
    index: IndexInfo
    proof: Mapping[str, float]


def _assemble(
    folder: Path,
    model: Model,
    network: nn.Module,
    items: pl.DataFrame,
    evaluation: EvaluationSet,
    candidates: int,
    exact_up_to: int,
    progress: Callable[[str], None],
) -> _Parts:
    """Writes every file but the manifest, and proves them as they lie on disk."""
    vectors = _item_vectors(network, model)
    np.save(folder / ITEM_VECTORS, vectors, allow_pickle=False)
    items.select("item_id", "title", "categories", "popularity").write_parquet(folder / ITEMS)

    progress(f"tracing {USER_GRAPH}")
    export_user_graph(model, network, folder / USER_GRAPH)
    user = open_session(folder / USER_GRAPH)
    rank = None
    if candidates:
        progress(f"tracing {RANK_GRAPH}")
        export_rank_graph(model, network, folder / RANK_GRAPH)
        rank = open_session(folder / RANK_GRAPH)
    progress("proving the graphs")
    proof = prove_graphs(model, network, vectors, evaluation.histories, user, rank)

    spread = np.linspace(0, len(evaluation) - 1, min(len(evaluation), _TUNING_USERS)).astype(np.int64)
    queries = user_vectors(model, user, evaluation.histories.take(spread))
    progress("building the index")
    index, info = build_index(vectors, queries, exact_up_to)
    write_index(index, folder / INDEX)
    proof |= prove_ranking(model, network, vectors, index, evaluation, user, rank, candidates, progress)
    return _Parts(vectors.shape[1], info, proof)


def _check(model: Model, network: nn.Module, items: pl.DataFrame, evaluation: EvaluationSet, candidates: int) -> None:
    """Refuses what cannot become a bundle before any work is done."""
    if items.height != model.data.items:
        raise ExportError(
            f"the catalogue has {items.height} items and the model was trained on {model.data.items}: "
            "export with the data set of the training run"
        )
    if not len(evaluation):
        raise ExportError("no validation users: the proof needs at least one; prepare with a split that has some")
    if candidates < 0 or (candidates and not hasattr(network, "rank")):
        raise ExportError(
            f"candidates is {candidates}, and the network of model {model.name!r} has no rank method: export with 0"
            if candidates > 0
            else f"candidates is {candidates}; it must be 0 (no ranker) or more"
        )


def _item_vectors(network: nn.Module, model: Model) -> NDArray[np.float32]:
    """Returns the (items, d) vectors as C-contiguous float32."""
    import torch

    with torch.inference_mode():
        vectors = np.ascontiguousarray(network.items().numpy(), np.float32)  # type: ignore[operator]  # nn.Module types every attribute Tensor | Module
    if vectors.ndim != 2 or len(vectors) != model.data.items:
        raise ExportError(f"items() returned shape {vectors.shape}; it must be ({model.data.items}, d)")
    if not np.isfinite(vectors).all():
        rows = np.flatnonzero(~np.isfinite(vectors).all(1))
        raise ExportError(
            f"{len(rows)} of {len(vectors)} item vectors are not finite (first: row {rows[0]}): "
            "the training diverged; lower the learning rate and train again"
        )
    return vectors


def _sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder, and needs not
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
