"""Proves that what a bundle computes is what the network computes; a bundle that fails is not written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.exporters.graphs import EXAMPLE_BATCH, EXAMPLE_LENGTH, as_tensors
from honeyguide.sdk import Arrays, EvaluationSet, HistoryBatch, Model
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.metrics import mask_seen, metrics_at, target_ranks

if TYPE_CHECKING:
    from torch import nn

__all__ = ["open_session", "prove_graphs", "prove_ranking", "user_vectors"]

BATCHES = (1, 2, 17)
RTOL, ATOL = 1e-4, 1e-5
NDCG_TOLERANCE = 0.001
_ROUNDING = 1e-3  # a graph that computes something else is further off than this
USERS = 10_000
"""How many validation users are ranked in full; more are sampled evenly, as the figure no longer moves."""
_CHUNK = 256  # users at a time
_CELLS = 50_000_000  # scores at a time, 200 MB: fewer users where the catalogue is large

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Run = Callable[[Mapping[str, Any]], Floats]
"""Maps a graph's inputs by name to its one output."""


def open_session(path: Path) -> Run:
    """Opens a graph on ONNX Runtime's CPU provider: the proof must not depend on the machine's accelerator."""
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]  # some builds ship types, this one does not

    # The GPU build warns once, on loading, that it finds no GPU; here none is asked for.
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # torch wants the cores in between
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, dict(inputs))[0]


def torch_user(network: nn.Module) -> Run:
    """Wraps ``network.user`` so that it takes and returns numpy arrays."""
    import torch

    def run(inputs: Arrays) -> Floats:
        with torch.inference_mode():
            return network.user(as_tensors(inputs)).numpy()  # type: ignore[operator,no-any-return]  # see graphs.UserGraph

    return run


def torch_rank(network: nn.Module) -> Run:
    """Wraps ``network.rank`` so that it takes the rank graph's inputs and returns a numpy array."""
    import torch

    def run(inputs: Arrays) -> Floats:
        tensors = as_tensors(inputs)
        candidates, scores = tensors.pop("candidates"), tensors.pop("retrieval_scores")
        with torch.inference_mode():
            return network.rank(tensors, candidates, scores).numpy()  # type: ignore[operator,no-any-return]  # as above

    return run


def user_vectors(model: Model, user: Run, histories: HistoryBatch) -> Floats:
    """Returns (users, d) vectors, a bounded batch at a time."""
    users = np.arange(len(histories))
    chunks = [users[start : start + _CHUNK] for start in range(0, len(users), _CHUNK)]
    return np.concatenate([user(model.encode(histories.take(chunk))) for chunk in chunks])


def prove_graphs(
    model: Model, network: nn.Module, vectors: Floats, histories: HistoryBatch, user: Run, rank: Run | None
) -> dict[str, float]:
    """Compares torch and ONNX for batches {1, 2, 17} × lengths {1, 2, longest}, within rtol 1e-4 and atol 1e-5.

    Args:
        model: encodes the histories.
        network: the network in evaluation mode.
        vectors: (items, d) item vectors; they choose the candidates to rank.
        histories: held-out users, at least one.
        user: the exported user graph.
        rank: the exported rank graph, or None.

    Returns:
        The largest absolute difference by output.

    Raises:
        ExportError: with every figure and the likely cause.
    """
    pairs = {"user_vector": (torch_user(network), user)}
    if rank is not None:
        pairs["scores"] = (torch_rank(network), rank)
    witnesses = _witnesses(histories, model.max_length)
    worst = dict.fromkeys(pairs, 0.0)

    def compare(name: str, batch: int, length: int) -> str:
        """Compares one output at one shape; returns the problem, "" where there is none."""
        in_torch, in_onnx = pairs[name]
        inputs = model.encode(witnesses.take(np.arange(batch)).newest(length))
        columns = slice(None)
        try:
            if name == "scores":
                scores = pairs["user_vector"][0](inputs) @ vectors.T  # (batch, items)
                rows, best = _top(scores, min(1 + 5 * batch, len(vectors)))  # another n for each batch: it is free too
                rows, best = np.pad(rows, ((0, 0), (0, 1)), constant_values=-1), np.pad(best, ((0, 0), (0, 1)))
                # What the PAD in the last column scores means nothing, but it must not disturb its neighbours.
                inputs, columns = {**inputs, **_candidates(rows, best)}, slice(-1)
            expected = in_torch(inputs)[:, columns]
        except Exception as error:  # boundary: a plugin's network may raise anything
            return f"the network itself fails ({type(error).__name__}: {_line(error)})"
        try:
            difference = np.abs(in_onnx(inputs)[:, columns] - expected)
        except Exception as error:  # boundary: ONNX Runtime raises classes of its own for a graph it cannot run
            return _line(error)
        worst[name] = max(worst[name], float(difference.max()))
        return "" if (difference <= ATOL + RTOL * np.abs(expected)).all() else f"differs by {difference.max():.3g}"

    cases = [(b, length) for length in sorted({1, min(2, model.max_length), model.max_length}) for b in BATCHES]
    for name in pairs:
        problems = {case: problem for case in cases if (problem := compare(name, *case))}
        if problems:
            listed = [f"batch {batch} × length {length}: {text}" for (batch, length), text in problems.items()]
            more = f"; and {len(listed) - 4} more" * (len(listed) > 4)
            small = worst[name] < _ROUNDING and all(text.startswith("differs") for text in problems.values())
            at_example = compare(name, EXAMPLE_BATCH, min(EXAMPLE_LENGTH, model.max_length))
            raise ExportError(
                f"the exported {name} is not the network's (allowed: rtol {RTOL:g}, atol {ATOL:g}): "
                f"{'; '.join(listed[:4])}{more}; likely cause: {_cause(bool(at_example), small)}"
            )
    return {f"{name}/max_abs_difference": value for name, value in worst.items()}


def prove_ranking(
    model: Model,
    network: nn.Module,
    vectors: Floats,
    index: Any,
    evaluation: EvaluationSet,
    user: Run,
    rank: Run | None,
    candidates: int,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """Compares NDCG@10 of ONNX + FAISS with that of torch over the full catalogue, after each stage.

    Args:
        model: encodes the histories.
        network: the network in evaluation mode.
        vectors: (items, d) item vectors.
        index: the FAISS index over them.
        evaluation: validation users.
        user: the exported user graph.
        rank: the exported rank graph, or None.
        candidates: how many items are retrieved for the ranker.
        progress: called with how far it is.

    Returns:
        NDCG@10 by stage ("retrieve", "rank") and path ("torch", "served"), and the differences.

    Raises:
        ExportError: where a difference is above .001, with the figures and the likely cause.
    """
    sample = np.unique(np.linspace(0, len(evaluation) - 1, min(len(evaluation), USERS)).astype(np.int64))
    in_torch, in_onnx = torch_user(network), user
    rankers = {} if rank is None else {"torch": torch_rank(network), "served": rank}
    depth = min(max(candidates, 10), len(vectors))
    chunk = int(np.clip(_CELLS // len(vectors), 1, _CHUNK))
    ranks: dict[str, list[NDArray[np.float64]]] = {}
    users: list[Rows] = []
    for start in range(0, len(sample), chunk):
        progress(f"proving the ranking, user {start:,} of {len(sample):,}")
        part = evaluation.take(sample[start : start + chunk])
        arrays = model.encode(part.histories)
        targets = part.target_users, part.target_items
        users.append(part.target_users + start)
        scores = in_torch(arrays) @ vectors.T  # (users, items)
        if not model.data.repeats:
            mask_seen(scores, part.histories)
        ranks.setdefault("retrieve/ndcg@10/torch", []).append(target_ranks(scores, *targets))
        lists = {"torch": _top(scores, depth), "served": _search(index, in_onnx(arrays), scores, depth, part.histories)}
        ranks.setdefault("retrieve/ndcg@10/served", []).append(_ranks_among(*lists["served"], *targets))
        for path, run in rankers.items():
            rows, best = lists[path][0][:, :candidates], lists[path][1][:, :candidates]
            ranked = np.where(rows < 0, -np.inf, run({**arrays, **_candidates(rows, best)}))
            ranks.setdefault(f"rank/ndcg@10/{path}", []).append(_ranks_among(rows, ranked, *targets))
    flat = np.concatenate(users)
    figures = {
        name: metrics_at(np.concatenate(parts), flat, len(sample), [10])["ndcg@10"] for name, parts in ranks.items()
    }
    for stage in ("retrieve", "rank") if rankers else ("retrieve",):
        served, own = figures[f"{stage}/ndcg@10/served"], figures[f"{stage}/ndcg@10/torch"]
        figures[f"{stage}/ndcg@10/difference"] = served - own
        if not abs(served - own) <= NDCG_TOLERANCE:  # `not <=` catches NaN as well
            raise ExportError(
                f"NDCG@10 after {stage} is {served:.4f} through ONNX + FAISS and {own:.4f} in torch over "
                f"{len(sample)} validation users (allowed difference: {NDCG_TOLERANCE}); likely cause: "
                "the index misses items (see its recall), or many items have equal scores"
            )
    return figures | {"users": float(len(sample))}


def _witnesses(histories: HistoryBatch, longest: int) -> HistoryBatch:
    """Picks 17 users; the first is stretched to the longest history allowed by repeating its events in place."""
    recent = histories.newest(longest)
    first = int(np.argmax(recent.lengths))
    batch = recent.take(np.concatenate([[first], np.resize(np.arange(len(recent)), max(BATCHES) - 1)]))
    own = int(batch.offsets[1])
    index = np.concatenate([np.sort(np.resize(np.arange(own), longest)), np.arange(own, len(batch.items))])
    return replace(
        batch,
        items=batch.items[index],
        offsets=np.maximum(batch.offsets - own + longest, 0) * (np.arange(len(batch) + 1) > 0),
        time_ms=None if batch.time_ms is None else batch.time_ms[index],
        features={name: column[index] for name, column in batch.features.items()},
        event_type=None if batch.event_type is None else batch.event_type[index],
    )


def _top(scores: Floats, count: int) -> tuple[Rows, Floats]:
    """Returns the (users, count) best rows and their scores, descending; -1 where the score is -inf."""
    import torch

    best, rows = torch.topk(torch.from_numpy(scores), count)
    return np.where(np.isneginf(best.numpy()), -1, rows.numpy()), best.numpy()


def _search(index: Any, queries: Floats, masked: Floats, count: int, seen: HistoryBatch) -> tuple[Rows, Floats]:
    """Searches the index and drops what ``masked`` (users, items) has at -inf; shaped as `_top`'s answer."""
    wide = min(count + int(seen.lengths.max()), index.ntotal)  # enough even if everything seen comes first
    best, rows = index.search(queries, wide)
    dropped = (rows < 0) | np.isneginf(np.take_along_axis(masked, np.maximum(rows, 0), axis=1))
    order = np.argsort(dropped, axis=1, kind="stable")[:, :count]
    dropped, rows, best = (np.take_along_axis(column, order, axis=1) for column in (dropped, rows, best))
    return np.where(dropped, -1, rows), np.where(dropped, -np.inf, best)


def _candidates(rows: Rows, scores: Floats) -> dict[str, NDArray[Any]]:
    """Lays retrieved rows out as the rank graph takes them: PAD is token 0 with score 0."""
    shown = np.where(rows < 0, 0, scores).astype(np.float32)
    return {"candidates": rows + 1, "retrieval_scores": shown[..., None]}


def _ranks_among(rows: Rows, scores: Floats, target_users: Rows, targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Ranks targets among (users, n) listed rows as `target_ranks` does; inf where a target is not listed."""
    listed = rows[target_users] == targets[:, None]  # (targets, n)
    own = np.where(listed, scores[target_users], -np.inf).max(1, keepdims=True)
    theirs = scores[target_users]
    ranks = (theirs > own).sum(1) + ((theirs == own).sum(1) + 1) / 2.0
    return np.where(listed.any(1), ranks, np.inf)


def _cause(wrong_at_example: bool, small: bool) -> str:
    """Guesses what is wrong: is the graph wrong even at the shape it was traced with, and by how much?"""
    if small:
        return "float32 rounding that grows, as in a recurrence with large weights: train with weight decay or clipping"
    if wrong_at_example:
        return "the method is random, or acts otherwise when exported than in evaluation mode"
    return "an axis is frozen: a number read from a shape, or a Conv1d before an LSTM without .contiguous()"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
