"""Assembles the bundle of a joint ranker, proves it behind its retrievers, and has it published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from honeyguide.exporters.graphs import export_rank_graph
from honeyguide.exporters.lists import Retrieve, ranks_among, sample
from honeyguide.exporters.proof import prove_graphs
from honeyguide.exporters.publish import draft_manifest, publish, write_items
from honeyguide.exporters.ranking import check_ndcg
from honeyguide.exporters.retrievers import joint_candidates, open_retrievers
from honeyguide.exporters.runs import Run, open_session, torch_rank
from honeyguide.sdk import HistoryBatch, Model
from honeyguide.sdk.candidates import ranker_inputs
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import RANK_GRAPH, Manifest
from honeyguide.sdk.metrics import metrics_at

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["export_joint_bundle"]

_CHUNK = 64  # users at a time: each has the vectors of several lists of candidates


def export_joint_bundle(
    repository: Path,
    name: str,
    *,
    model: Model,
    network: nn.Module,
    items: pl.DataFrame,
    evaluation: EvaluationSet,
    plugin: str,
    metrics: Mapping[str, float],
    candidates: int,
    retrievers: Sequence[tuple[str, int]],
    weights: str = "",
    host: PluginHost | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Writes ``repository/name/<next version>/``, proven, or nothing at all (see `publish`).

    The candidates are the union of what every retriever finds (`union`), each scored by every retriever
    (`source_scores`).

    Args:
        repository: the folder of bundles; it holds the retrievers.
        name: what the bundle is called: lower-case letters, digits, "_" and "-", starting with a letter, at most 64.
        model: the model the network belongs to; its class has ``retrieves = False``.
        network: the trained network, on the CPU; it is put into evaluation mode.
        items: the catalogue, the same as the retrievers': item_id, title, categories, popularity.
        evaluation: validation users, at least one; the proof ranks for them.
        plugin: distribution and version of the model's plugin, such as "honeyguide 0.1.0".
        metrics: offline metrics to write down, such as "rank/ndcg@10".
        candidates: how many items each retriever retrieves, 1 or more.
        retrievers: name and version of the bundles that retrieve, in the order of the network's sources.
        weights: SHA-256 of the checkpoint's weights, "" where the network comes from none.
        host: offers the retrievers' models; by default the installed plugins.
        progress: called with what is being done, for a person who waits.

    Returns:
        The published manifest.

    Raises:
        ExportError: where a retriever does not fit, the network cannot be exported or the bundle fails its own proof.
        InvalidArgument: for a name that no bundle can have.
        PluginError: where no plugin offers a retriever's model.
    """
    draft = draft_manifest(
        name, model, items, evaluation, plugin=plugin, metrics=metrics, candidates=candidates, weights=weights
    )
    draft = replace(draft, retrievers=tuple(retrievers))
    if model.retrieves:
        raise ExportError(f"model {model.name!r} retrieves by itself: export it with export_bundle")
    if candidates < 1 or capabilities_of(network).ranks is None:
        raise ExportError(
            f"candidates is {candidates}; a joint ranker needs 1 or more of each retriever"
            if candidates < 1
            else f"the network of model {model.name!r} has no rank method, and a joint ranker is nothing else"
        )
    opened = open_retrievers(repository, draft.retrievers, draft, host or PluginHost.load())
    network.eval()

    def retrieve(histories: HistoryBatch, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return joint_candidates(opened, histories, count, repeats=model.data.repeats)

    def write(folder: Path) -> Manifest:
        write_items(items, folder)
        progress(f"tracing {RANK_GRAPH}")
        export_rank_graph(model, network, folder / RANK_GRAPH, sources=len(opened))
        rank = torch_rank(network), open_session(folder / RANK_GRAPH)
        progress("proving the graphs")
        proof = prove_graphs(model, {"scores": rank}, evaluation.histories, retrieve)
        return replace(draft, proof=proof | _prove_ranking(model, evaluation, rank, retrieve, candidates, progress))

    return publish(repository, name, write)


def _prove_ranking(
    model: Model,
    evaluation: EvaluationSet,
    rank: tuple[Run, Run],
    retrieve: Retrieve,
    candidates: int,
    progress: Callable[[str], None],
) -> dict[str, float]:
    """Compares NDCG@10 of graph and torch on the retrievers' lists; says how often these hold the target.

    Raises `ExportError` where the difference is above .001.
    """
    users = sample(evaluation)
    ranks: dict[str, list[NDArray[np.float64]]] = {"torch": [], "served": []}
    owners: list[NDArray[np.int64]] = []
    for start in range(0, len(users), _CHUNK):
        progress(f"proving the ranking, user {start:,} of {len(users):,}")
        part = evaluation.take(users[start : start + _CHUNK])
        owners.append(part.target_users + start)
        rows, scores = retrieve(part.histories, candidates)
        inputs = {**model.encode(part.histories), **ranker_inputs(rows, scores)}
        for path, run in zip(ranks, rank, strict=True):
            ranked = np.where(rows < 0, -np.inf, run(inputs)["scores"])
            ranks[path].append(ranks_among(rows, ranked, part.target_users, part.target_items))
    flat = np.concatenate(owners)
    figures = {
        f"rank/ndcg@10/{path}": metrics_at(np.concatenate(parts), flat, len(users), [10])["ndcg@10"]
        for path, parts in ranks.items()
    }
    check_ndcg(figures, "rank", len(users), "many candidates have equal scores")
    found = float(np.isfinite(np.concatenate(ranks["served"])).mean())
    return figures | {"candidates/recall": found, "users": float(len(users))}
