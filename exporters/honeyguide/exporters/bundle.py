"""Assembles a bundle, proves it, and has it published."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from honeyguide.exporters.forward import (
    Forward,
    open_session,
    torch_explain,
    torch_place,
    torch_rank,
    torch_user,
    user_vectors,
)
from honeyguide.exporters.graphs import (
    export_explain_graph,
    export_item_graph,
    export_rank_graph,
    export_step_graph,
    export_user_graph,
)
from honeyguide.exporters.index import EXACT_UP_TO, build_index, write_index
from honeyguide.exporters.neighbours import item_neighbours
from honeyguide.exporters.placing import prove_places
from honeyguide.exporters.precision import EXACT, Precision
from honeyguide.exporters.proof import prove_graphs
from honeyguide.exporters.publish import draft_manifest, publish, write_items
from honeyguide.exporters.ranking import prove_ranking
from honeyguide.exporters.sources import CandidateSource, open_sources, unmasked_candidates
from honeyguide.exporters.stepping import prove_steps
from honeyguide.sdk import Model
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import (
    EXPLAIN_GRAPH,
    INDEX,
    ITEM_GRAPH,
    ITEM_VECTORS,
    NEIGHBOURS,
    RANK_GRAPH,
    STEP_GRAPH,
    USER_GRAPH,
    IndexInfo,
    Manifest,
)
from honeyguide.sdk.signatures import SigningKey
from honeyguide.training.plugin_calls import plugin_call
from honeyguide.training.target_folder import writing

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["export_bundle"]

_MOST_SCORED = 200_000
"""Items of the largest catalogue that a graph may score whole: 800 kB of scores for each user."""
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
    retrievers: Sequence[tuple[str, int]] = (),
    weights: str = "",
    exact_up_to: int = EXACT_UP_TO,
    precision: Precision = EXACT,
    host: PluginHost | None = None,
    sign_key: SigningKey | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Writes ``repository/name/<next version>/``, proven, or nothing at all (see `publish`).

    A model that retrieves is the only source of its own candidates. One that only ranks stands on bundles that are
    published: its candidates are the union of what all of them find, each scored by all of them.

    Args:
        repository: the folder of bundles; made where it is missing. It holds the retrievers.
        name: what the bundle is called: lower-case letters, digits, "_" and "-", starting with a letter, at most 64.
        model: the model the network belongs to.
        network: the trained network, on the CPU; it is put into evaluation mode.
        items: the catalogue, row i of the vectors: item_id, title, categories, popularity.
        evaluation: validation users, at least one; the proof ranks for them.
        plugin: distribution and version of the model's plugin, such as "honeyguide 0.1.0".
        metrics: offline metrics to write down, such as "retrieve/ndcg@10".
        candidates: how many items of each source the ranker gets; 0 exports no ranker.
        retrievers: for a model that only ranks, name and version of the bundles that retrieve, in the order of the
            network's sources; none for any other.
        weights: SHA-256 of the checkpoint's weights, "" where the network comes from none.
        exact_up_to: the largest catalogue that gets an exact index.
        precision: what its graphs compute with; graphs that explain stay as they are.
        host: offers the retrievers' models; by default the installed plugins.
        sign_key: signs the bundle; None: nobody does.
        progress: called with what is being done, for a person who waits.

    Returns:
        The published manifest.

    Raises:
        DataError: where the disk refuses a file; nothing is published then.
        ExportError: where a retriever does not fit, the network cannot be exported or the bundle fails its own proof.
        InvalidArgument: for a name that no bundle can have.
        PluginError: where no plugin offers a retriever's model, or the model's code fails.
    """
    draft = draft_manifest(
        name,
        model,
        items,
        evaluation,
        plugin=plugin,
        metrics=metrics,
        candidates=candidates,
        retrievers=retrievers,
        weights=weights,
    )
    _check(draft, model, network)
    sources = open_sources(repository, draft, host)
    network.eval()

    def write(folder: Path) -> Manifest:
        write_items(items, folder)
        return _write(folder, draft, model, network, sources, evaluation, exact_up_to, precision, progress)

    return publish(repository, name, write, sign_key)


def _write(
    folder: Path,
    draft: Manifest,
    model: Model,
    network: nn.Module,
    sources: Sequence[CandidateSource],
    evaluation: EvaluationSet,
    exact_up_to: int,
    precision: Precision,
    progress: Callable[[str], None],
) -> Manifest:
    """Writes graphs, vectors and index, and proves them as they lie on disk; returns the manifest with the proof."""

    def traced(graph: str, export: Callable[[Model, nn.Module, Path], None]) -> Forward:
        progress(f"tracing {graph}")
        export(model, network, folder / graph)
        if graph != EXPLAIN_GRAPH:
            precision.apply(folder / graph)
        return open_session(folder / graph)

    can = capabilities_of(network)
    pairs: dict[str, tuple[Forward, Forward]] = {}
    if can.scores is not None:
        if can.relates is not None:
            _save(folder / NEIGHBOURS, "the neighbours", item_neighbours(network, model))
        pairs["item_scores"] = torch_user(network), traced(USER_GRAPH, export_user_graph)
        sources = [CandidateSource(model, pairs["item_scores"], None)]
        draft = replace(draft, scores_catalogue=True)
    elif model.retrieves:
        vectors = _item_vectors(network, model)
        _save(folder / ITEM_VECTORS, "the item vectors", vectors)
        pairs["user_vector"] = torch_user(network), traced(USER_GRAPH, export_user_graph)
        sources = [CandidateSource(model, pairs["user_vector"], vectors)]
        draft = replace(draft, steps=can.steps is not None, dimension=vectors.shape[1])
    if draft.ranks:
        export = partial(export_rank_graph, sources=len(sources))
        pairs["scores"] = torch_rank(network), traced(RANK_GRAPH, export)
    if can.explains is not None:
        pairs["shares"] = torch_explain(network), traced(EXPLAIN_GRAPH, export_explain_graph)
        draft = replace(draft, explains=True)
    step = traced(STEP_GRAPH, export_step_graph) if draft.steps else None
    places = traced(ITEM_GRAPH, export_item_graph) if can.places is not None and model.item_inputs() else None

    progress("proving the graphs")
    proof = prove_graphs(model, pairs, evaluation.histories, partial(unmasked_candidates, sources), precision)
    if step is not None:
        proof |= prove_steps(model, pairs["user_vector"][1], step, evaluation.histories, precision)
    if places is not None:
        proof |= prove_places(model, torch_place(network), places, draft.dimension, precision)
        draft = replace(draft, item_inputs=model.item_inputs())
    if model.retrieves and can.scores is None:
        progress("building the index")
        index, info = _index(sources[0], evaluation, exact_up_to)
        write_index(index, folder / INDEX)
        sources = [replace(sources[0], index=index)]
        draft = replace(draft, index=info)
    proof |= prove_ranking(model, sources, evaluation, pairs.get("scores"), draft.candidates, precision, progress)
    return replace(draft, proof=proof, precision=precision.name)


def _check(draft: Manifest, model: Model, network: nn.Module) -> None:
    """Refuses what cannot become a bundle before any work is done."""
    can, count = capabilities_of(network), draft.candidates
    ranks = can.ranks
    problem = ""
    if count < 0:
        problem = f"candidates is {count}; it must be 0 (no ranker) or more"
    elif count and ranks is None:
        problem = f"candidates is {count}, and the network of model {model.name!r} has no rank method: export with 0"
    elif model.retrieves and draft.retrievers:
        problem = f"model {model.name!r} retrieves by itself: name no retrievers"
    elif can.scores is not None and model.data.items > _MOST_SCORED:
        problem = (
            f"model {model.name!r} scores the whole catalogue for each user, and it has {model.data.items:,} items; "
            f"allowed: at most {_MOST_SCORED:,}; take a model with vectors, which an index searches"
        )
    elif not model.retrieves and not draft.retrievers:
        problem = (
            f"no retrievers: model {model.name!r} ranks what others retrieve, so it needs at least one bundle "
            "that retrieves for it"
        )
    elif model.item_inputs() and capabilities_of(network).places is None:
        problem = f"model {model.name!r} has item_inputs, and its network has no place method: write it, or return ()"
    elif not model.retrieves and not count:
        problem = f"candidates is 0; model {model.name!r} only ranks, so it needs 1 or more of each retriever"
    if problem:
        raise ExportError(problem)


def _save(file: Path, what: str, array: NDArray[Any]) -> None:
    """Writes an array; raises `DataError` where the disk refuses it."""
    with writing(file, what):
        np.save(file, array, allow_pickle=False)
        if file.stat().st_size < array.nbytes:  # of little data numpy does not see that it never got there
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _item_vectors(network: nn.Module, model: Model) -> NDArray[np.float32]:
    """Returns the (items, d) vectors as C-contiguous float32."""
    import torch

    calls: Any = network  # nn.Module types every attribute Tensor | Module
    with plugin_call(model, "items"), torch.inference_mode():
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


def _index(source: CandidateSource, evaluation: EvaluationSet, exact_up_to: int) -> tuple[Any, IndexInfo]:
    """Builds the index over a bundle's vectors, tuned with what its graph gives for validation users."""
    users = np.linspace(0, len(evaluation) - 1, min(len(evaluation), _TUNING_USERS)).astype(np.int64)
    queries = user_vectors(source.model, source.user[1], evaluation.histories.take(users))
    assert source.items is not None
    return build_index(source.items, queries, exact_up_to)
