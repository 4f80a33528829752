"""Proves that what a bundle recommends is as good as what the network recommends over the full catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.exporters.lists import Rows, ranks_among, sample, search
from honeyguide.exporters.runs import Run
from honeyguide.sdk import Model
from honeyguide.sdk.candidates import ranker_inputs, top_k
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.metrics import mask_seen, metrics_at, target_ranks

__all__ = ["check_ndcg", "prove_ranking"]

NDCG_TOLERANCE = 0.001
_CHUNK = 256  # users at a time
_CELLS = 50_000_000  # scores at a time, 200 MB: fewer users where the catalogue is large

Floats = NDArray[np.float32]


def prove_ranking(
    model: Model,
    vectors: Floats,
    index: Any,
    evaluation: EvaluationSet,
    user: tuple[Run, Run],
    rank: tuple[Run, Run] | None,
    candidates: int,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """Compares NDCG@10 of ONNX + FAISS with that of torch over the full catalogue, after each stage.

    Args:
        model: encodes the histories.
        vectors: (items, d) item vectors.
        index: the FAISS index over them.
        evaluation: validation users.
        user: the network's user method and the exported graph.
        rank: the network's rank method and the exported graph, or None.
        candidates: how many items are retrieved for the ranker.
        progress: called with how far it is.

    Returns:
        NDCG@10 by stage ("retrieve", "rank") and path ("torch", "served"), and the differences.

    Raises:
        ExportError: where a difference is above .001, with the figures and the likely cause.
    """
    users = sample(evaluation)
    in_torch, in_onnx = user
    rankers = {} if rank is None else dict(zip(("torch", "served"), rank, strict=True))
    depth = min(max(candidates, 10), len(vectors))
    chunk = int(np.clip(_CELLS // len(vectors), 1, _CHUNK))
    ranks: dict[str, list[NDArray[np.float64]]] = {}
    owners: list[Rows] = []
    for start in range(0, len(users), chunk):
        progress(f"proving the ranking, user {start:,} of {len(users):,}")
        part = evaluation.take(users[start : start + chunk])
        arrays = model.encode(part.histories)
        targets = part.target_users, part.target_items
        owners.append(part.target_users + start)
        scores = in_torch(arrays)["user_vector"] @ vectors.T  # (users, items)
        if not model.data.repeats:
            mask_seen(scores, part.histories)
        ranks.setdefault("retrieve/ndcg@10/torch", []).append(target_ranks(scores, *targets))
        found = search(index, in_onnx(arrays)["user_vector"], scores, depth, part.histories)
        lists: dict[str, tuple[Rows, Floats]] = {"torch": top_k(scores, depth), "served": found}
        ranks.setdefault("retrieve/ndcg@10/served", []).append(ranks_among(*found, *targets))
        for path, run in rankers.items():
            rows, best = lists[path][0][:, :candidates], lists[path][1][:, :candidates]
            again = run({**arrays, **ranker_inputs(rows, best[..., None])})["scores"]
            ranked = np.where(rows < 0, -np.inf, again)
            ranks.setdefault(f"rank/ndcg@10/{path}", []).append(ranks_among(rows, ranked, *targets))
    flat = np.concatenate(owners)
    figures = {
        name: metrics_at(np.concatenate(parts), flat, len(users), [10])["ndcg@10"] for name, parts in ranks.items()
    }
    for stage in ("retrieve", "rank") if rankers else ("retrieve",):
        check_ndcg(
            figures, stage, len(users), "the index misses items (see its recall), or many items have equal scores"
        )
    return figures | {"users": float(len(users))}


def check_ndcg(figures: dict[str, float], stage: str, users: int, cause: str) -> None:
    """Adds a stage's difference served − torch to the figures; raises `ExportError` where it is above .001."""
    served, own = figures[f"{stage}/ndcg@10/served"], figures[f"{stage}/ndcg@10/torch"]
    figures[f"{stage}/ndcg@10/difference"] = served - own
    if not abs(served - own) <= NDCG_TOLERANCE:  # `not <=` catches NaN as well
        raise ExportError(
            f"NDCG@10 after {stage} is {served:.4f} through ONNX + FAISS and {own:.4f} in torch over "
            f"{users} validation users (allowed difference: {NDCG_TOLERANCE}); likely cause: {cause}"
        )
