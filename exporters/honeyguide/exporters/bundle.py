"""Assembles the bundle of a model that retrieves, proves it, and has it published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from honeyguide.exporters.graphs import (
    export_explain_graph,
    export_rank_graph,
    export_step_graph,
    export_user_graph,
)
from honeyguide.exporters.index import EXACT_UP_TO, build_index, write_index
from honeyguide.exporters.proof import prove_graphs
from honeyguide.exporters.publish import draft_manifest, publish, write_items
from honeyguide.exporters.ranking import prove_ranking
from honeyguide.exporters.runs import Run, open_session, torch_explain, torch_rank, torch_user, user_vectors
from honeyguide.exporters.stepping import prove_steps
from honeyguide.sdk import HistoryBatch, Model
from honeyguide.sdk.candidates import top_k
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.manifest import EXPLAIN_GRAPH, INDEX, ITEM_VECTORS, RANK_GRAPH, STEP_GRAPH, USER_GRAPH, Manifest

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["export_bundle"]

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
    """Writes ``repository/name/<next version>/``, proven, or nothing at all (see `publish`).

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
    draft = draft_manifest(
        name, model, items, evaluation, plugin=plugin, metrics=metrics, candidates=candidates, weights=weights
    )
    _check(model, network, candidates)
    network.eval()

    def write(folder: Path) -> Manifest:
        write_items(items, folder)
        return _write(folder, draft, model, network, evaluation, exact_up_to, progress)

    return publish(repository, name, write)


def _write(
    folder: Path,
    draft: Manifest,
    model: Model,
    network: nn.Module,
    evaluation: EvaluationSet,
    exact_up_to: int,
    progress: Callable[[str], None],
) -> Manifest:
    """Writes graphs, vectors and index, and proves them as they lie on disk; returns the manifest with the proof."""
    vectors = _item_vectors(network, model)
    np.save(folder / ITEM_VECTORS, vectors, allow_pickle=False)
    can = capabilities_of(network)
    draft = replace(draft, steps=can.steps is not None, explains=can.explains is not None, dimension=vectors.shape[1])

    def traced(graph: str, export: Callable[[Model, nn.Module, Path], None]) -> Run:
        progress(f"tracing {graph}")
        export(model, network, folder / graph)
        return open_session(folder / graph)

    pairs = {"user_vector": (torch_user(network), traced(USER_GRAPH, export_user_graph))}
    if draft.ranks:
        pairs["scores"] = torch_rank(network), traced(RANK_GRAPH, export_rank_graph)
    if draft.explains:
        pairs["shares"] = torch_explain(network), traced(EXPLAIN_GRAPH, export_explain_graph)
    user, rank = pairs["user_vector"], pairs.get("scores")
    step = traced(STEP_GRAPH, export_step_graph) if draft.steps else None

    def retrieve(histories: HistoryBatch, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        rows, best = top_k(user[0](model.encode(histories))["user_vector"] @ vectors.T, count)
        return rows, best[..., None]

    progress("proving the graphs")
    proof = prove_graphs(model, pairs, evaluation.histories, retrieve)
    if step is not None:
        proof |= prove_steps(model, user[1], step, evaluation.histories)
    progress("building the index")
    spread = np.linspace(0, len(evaluation) - 1, min(len(evaluation), _TUNING_USERS)).astype(np.int64)
    index, info = build_index(vectors, user_vectors(model, user[1], evaluation.histories.take(spread)), exact_up_to)
    write_index(index, folder / INDEX)
    proof |= prove_ranking(model, vectors, index, evaluation, user, rank, draft.candidates, progress)
    return replace(draft, index=info, proof=proof)


def _check(model: Model, network: nn.Module, candidates: int) -> None:
    """Refuses what cannot become a bundle before any work is done."""
    if not model.retrieves:
        raise ExportError(
            f"model {model.name!r} has no vectors, it ranks what others retrieve: export it with export_joint_bundle"
        )
    can = capabilities_of(network)
    if candidates < 0 or (candidates and can.ranks is None):
        raise ExportError(
            f"candidates is {candidates}, and the network of model {model.name!r} has no rank method: export with 0"
            if candidates > 0
            else f"candidates is {candidates}; it must be 0 (no ranker) or more"
        )


def _item_vectors(network: nn.Module, model: Model) -> NDArray[np.float32]:
    """Returns the (items, d) vectors as C-contiguous float32."""
    import torch

    calls: Any = network  # nn.Module types every attribute Tensor | Module
    with torch.inference_mode():
        vectors = np.ascontiguousarray(calls.items().numpy(), np.float32)
    if vectors.ndim != 2 or len(vectors) != model.data.items:
        raise ExportError(f"items() returned shape {vectors.shape}; it must be ({model.data.items}, d)")
    if not np.isfinite(vectors).all():
        rows = np.flatnonzero(~np.isfinite(vectors).all(1))
        raise ExportError(
            f"{len(rows)} of {len(vectors)} item vectors are not finite (first: row {rows[0]}): "
            "the training diverged; lower the learning rate and train again"
        )
    return vectors
