"""Proves that what a bundle recommends is as good as what the network recommends over the full catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.exporters.forward import Forward
from honeyguide.exporters.precision import EXACT, Precision
from honeyguide.exporters.sources import CandidateSource
from honeyguide.sdk import HistoryBatch, Model
from honeyguide.sdk.candidates import ranker_inputs, sourced_candidates
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.metrics import mask_seen, metrics_at, target_ranks

__all__ = ["prove_ranking"]

_CUT = 10
_PATHS = ("torch", "served")
_USERS = 10_000  # ranked in full; more are sampled evenly, as the figure no longer moves
_CHUNK = 256  # users at a time
_CELLS = 50_000_000  # scores at a time, 200 MB: fewer users where the catalogue is large

Floats = NDArray[np.float32]
Rows = NDArray[np.integer[Any]]


def prove_ranking(
    model: Model,
    sources: Sequence[CandidateSource],
    evaluation: EvaluationSet,
    rank: tuple[Forward, Forward] | None = None,
    candidates: int = 0,
    precision: Precision = EXACT,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """Compares NDCG@10 of ONNX + FAISS with that of torch over the full catalogue, after each stage.

    A model that retrieves is its own only source. Where its graph scores the catalogue there is no index, and these
    scores are compared in full. Published bundles have proven how they retrieve, so behind them the
    stage "rank" alone is compared, on one and the same list of candidates.

    Args:
        model: encodes the histories.
        sources: what retrieves: the bundle itself with its index, or the bundles that are published.
        evaluation: validation users.
        rank: the network's rank method and the exported graph, or None.
        candidates: how many items of each source the ranker gets.
        precision: of the graphs; it says how much the figures may differ.
        progress: called with how far it is.

    Returns:
        NDCG@10 by stage ("retrieve", "rank") and path ("torch", "served"), and the differences; where it ranks, how
        often a target is among the candidates.

    Raises:
        ExportError: where a difference is above what the precision allows (.001 in float32), with the figures and the
            likely cause.
    """
    users = np.unique(np.linspace(0, len(evaluation) - 1, min(len(evaluation), _USERS)).astype(np.int64))
    chunk = int(np.clip(_CELLS // (model.data.items * len(sources)), 1, _CHUNK))
    depth = max(candidates, _CUT) if model.retrieves else candidates
    ranks: dict[str, list[NDArray[np.float64]]] = {}
    owners: list[NDArray[np.int64]] = []
    for start in range(0, len(users), chunk):
        progress(f"proving the ranking, user {start:,} of {len(users):,}")
        part = evaluation.take(users[start : start + chunk])
        targets = part.target_users, part.target_items
        owners.append(part.target_users + start)
        scores = [source.scores(part.histories) for source in sources]  # (users, items) each
        if not model.data.repeats:
            for own in scores:
                mask_seen(own, part.histories)
        in_torch = sourced_candidates(scores, depth)
        served: tuple[Rows, Floats] = in_torch
        if model.retrieves and sources[0].items is None:
            own = np.where(np.isneginf(scores[0]), -np.inf, sources[0].graph_scores(part.histories)).astype(np.float32)
            served = sourced_candidates([own], depth)
            ranks.setdefault("retrieve/torch", []).append(target_ranks(scores[0], *targets))
            ranks.setdefault("retrieve/served", []).append(target_ranks(own, *targets))
        elif model.retrieves:
            served = _served(sources, scores, part.histories, depth)
            ranks.setdefault("retrieve/torch", []).append(target_ranks(scores[0], *targets))
            ranks.setdefault("retrieve/served", []).append(_ranks_among(served[0], served[1][..., 0], *targets))
        if rank:
            arrays = model.encode(part.histories)
            for path, run, lists in zip(_PATHS, rank, (in_torch, served), strict=True):
                width = candidates * len(sources)
                rows, retrieval = lists[0][:, :width], lists[1][:, :width]
                ranked = np.where(rows < 0, -np.inf, run({**arrays, **ranker_inputs(rows, retrieval)})["scores"])
                ranks.setdefault(f"rank/{path}", []).append(_ranks_among(rows, ranked, *targets))
    flat = np.concatenate(owners)
    figures: dict[str, float] = {}
    for stage in ["retrieve"] * model.retrieves + ["rank"] * (rank is not None):
        in_torch_ndcg, served_ndcg = (
            metrics_at(np.concatenate(ranks[f"{stage}/{path}"]), flat, len(users), [_CUT])[f"ndcg@{_CUT}"]
            for path in _PATHS
        )
        figures |= _compared(stage, in_torch_ndcg, served_ndcg, len(users), precision)
    if rank:
        figures["candidates/recall"] = float(np.isfinite(np.concatenate(ranks["rank/served"])).mean())
    return figures | {"users": float(len(users))}


def _served(
    sources: Sequence[CandidateSource], masked: Sequence[Floats], histories: HistoryBatch, count: int
) -> tuple[Rows, Floats]:
    """Searches the bundle's own index and drops what ``masked`` (users, items) has at -inf, as a server does."""
    (source,) = sources
    queries = source.user[1](source.model.encode(histories))["user_vector"]
    wide = min(count + int(histories.lengths.max()), source.index.ntotal)  # enough even if what was seen comes first
    best, rows = source.index.search(queries, wide)
    dropped = (rows < 0) | np.isneginf(np.take_along_axis(masked[0], np.maximum(rows, 0), axis=1))
    order = np.argsort(dropped, axis=1, kind="stable")[:, :count]
    dropped, rows, best = (np.take_along_axis(column, order, axis=1) for column in (dropped, rows, best))
    return np.where(dropped, -1, rows), np.where(dropped, -np.inf, best)[..., None]


def _ranks_among(
    rows: Rows, scores: Floats, target_users: NDArray[np.int64], targets: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Ranks targets among (users, n) listed rows as `target_ranks` does; inf where a target is not listed."""
    listed = rows[target_users] == targets[:, None]  # (targets, n)
    row_scores = scores[target_users]
    own = np.where(listed, row_scores, -np.inf).max(1, keepdims=True)
    ranks = (row_scores > own).sum(1) + ((row_scores == own).sum(1) + 1) / 2.0
    return np.where(listed.any(1), ranks, np.inf)


def _compared(stage: str, in_torch: float, served: float, users: int, precision: Precision) -> dict[str, float]:
    """Returns the figures of a stage; raises `ExportError` where served and torch differ by more than is allowed."""
    difference = served - in_torch
    if not abs(difference) <= precision.ndcg:  # `not <=` catches NaN as well
        raise ExportError(
            f"NDCG@10 after {stage} is {served:.4f} through ONNX + FAISS and {in_torch:.4f} in torch over "
            f"{users} validation users (allowed difference: {precision.ndcg}); likely cause: "
            f"{precision.cause or 'the index misses items (see its recall), or many items have equal scores'}"
        )
    name = f"{stage}/ndcg@{_CUT}"
    return {f"{name}/torch": in_torch, f"{name}/served": served, f"{name}/difference": difference}
