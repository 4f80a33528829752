"""Fits the second stage without leaks: on lists of a retriever that never saw what it is asked about.

A ranker must not learn from lists that its retriever made for targets the retriever was trained on. So the last baskets
of each user are held back (part B); a first retriever learns from the rest (part A), makes a candidate list for each
basket of B, and the ranker learns to find that basket's item in it. Lists whose item was not retrieved are left out: no
ranker can mend those when it serves, and an item put in by hand would stand out by its low score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from honeyguide.sdk.candidates import ranker_inputs
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import PluginError
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.metrics import per_user_at, target_ranks
from honeyguide.sdk.model import Model
from honeyguide.training.fit.batches import before, buckets, find_baskets
from honeyguide.training.fit.loop import LoopResult, Task, run
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.progress import OnProgress
from honeyguide.training.plugin_calls import plugin_call
from honeyguide.training.scoring.candidates import Source, rerank, retrieve
from honeyguide.training.scoring.device import device_of, tensors

__all__ = [
    "FEWEST_LISTS",
    "Examples",
    "Lists",
    "first_baskets",
    "fit_ranker",
    "hold_back",
    "make_lists",
]

FEWEST_LISTS = 50
"""With fewer candidate lists, or of one user alone, no ranker is fitted."""

Long = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Examples:
    """Moments to predict: what the user did from ``starts`` up to ``stops``, and what came then."""

    users: Long
    """(examples,) ascending."""
    starts: Long
    """(examples,) the user's first event."""
    stops: Long
    """(examples,) the event after the last one known: the first of the target's basket."""
    targets: NDArray[np.int32]
    """(examples,) catalogue rows."""

    def __len__(self) -> int:
        return len(self.users)

    def take(self, places: Long) -> Examples:
        """Returns the examples at some places."""
        return Examples(self.users[places], self.starts[places], self.stops[places], self.targets[places])

    def sample(self, count: int, seed: int) -> Examples:
        """Returns all of them, or ``count`` drawn at random where there are more."""
        if len(self) <= count:
            return self
        return self.take(np.sort(np.random.default_rng((seed, 4)).choice(len(self), count, replace=False)))


def hold_back(histories: HistoryBatch, tail: int, seed: int) -> tuple[HistoryBatch, Examples]:
    """Splits histories into part A, for the first retriever, and the examples of part B, one for each basket held back.

    Of each user the last ``tail`` baskets are held back, at most a third; whoever has fewer than three gives none.
    A basket of several items gives one of them, drawn at random.
    """
    baskets = find_baskets(histories)
    held = np.minimum(tail, baskets.per_user // 3)  # (batch,)
    cuts = baskets.offsets[baskets.users[1:] - held]
    users = np.repeat(np.arange(len(held)), held)
    nth = np.arange(len(users)) - (np.cumsum(held) - held)[users]
    targets = (baskets.users[1:] - held)[users] + nth  # the basket of each example
    drawn = baskets.draw(targets, np.random.default_rng((seed, 1)))
    examples = Examples(users, histories.offsets[:-1][users], baskets.offsets[targets], histories.items[drawn])
    return histories.cut(histories.offsets[:-1], cuts), examples


def first_baskets(histories: HistoryBatch, examples: Examples) -> EvaluationSet:
    """Returns each user's first example, which is what early stopping of the first retriever watches."""
    first = np.flatnonzero(np.diff(examples.users, prepend=-1))
    return EvaluationSet(
        histories=before(histories, examples.starts[first], examples.stops[first]),
        target_users=np.arange(len(first)),
        target_items=examples.targets[first],
    )


@dataclass(frozen=True, slots=True)
class Lists:
    """Candidate lists, each with its target in it."""

    examples: Examples
    rows: NDArray[np.int32]
    """(examples, n) candidates as `honeyguide.training.scoring.candidates.retrieve` gives them, -1 where there are
    fewer."""
    scores: NDArray[np.float32]
    """(examples, n, sources) their retrieval scores."""
    places: Long
    """(examples,) where in the list the target stands."""

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def suffice(self) -> bool:
        """Whether a ranker can be fitted on them, and watched on another user's."""
        return len(self) >= FEWEST_LISTS and len(np.unique(self.examples.users)) > 1

    def take(self, places: Long) -> Lists:
        """Returns the lists at some places."""
        return Lists(self.examples.take(places), self.rows[places], self.scores[places], self.places[places])


def make_lists(sources: Sequence[Source], histories: HistoryBatch, examples: Examples, n: int) -> Lists:
    """Retrieves ``n`` candidates of each source for each example and keeps the lists that hold their target."""
    items = sources[0][0].data.items
    size = max(min(256, (1 << 24) // items), 1)
    parts: list[Lists] = []
    for start in range(0, len(examples), size):
        part = examples.take(np.arange(start, min(start + size, len(examples))))
        rows, scores = retrieve(sources, before(histories, part.starts, part.stops), n)
        match = rows == part.targets[:, None]
        parts.append(Lists(part, rows, scores, match.argmax(1)).take(np.flatnonzero(match.any(1))))
    longest = max(p.rows.shape[1] for p in parts)
    wide = [((0, 0), (0, longest - p.rows.shape[1])) for p in parts]
    users, starts, stops, targets = (
        np.concatenate([getattr(p.examples, name) for p in parts]) for name in ("users", "starts", "stops", "targets")
    )
    return Lists(
        examples=Examples(users, starts, stops, targets),
        rows=np.concatenate([np.pad(p.rows, w, constant_values=-1) for p, w in zip(parts, wide, strict=True)]),
        scores=np.concatenate([np.pad(p.scores, (*w, (0, 0))) for p, w in zip(parts, wide, strict=True)]),
        places=np.concatenate([p.places for p in parts]),
    )


def fit_ranker(
    model: Model,
    network: Any,
    histories: HistoryBatch,
    lists: Lists,
    options: FitOptions,
    *,
    state: Path | None = None,
    progress: OnProgress | None = None,
) -> LoopResult:
    """Fits a network's ranking module on candidate lists, all else frozen; a tenth of the users decides when to stop.

    The loss is the listwise softmax over the scores (Cao et al., 2007).

    Raises `PluginError` where the network has no ranking module.
    """
    ranks = capabilities_of(network).ranks
    module = None if ranks is None else ranks.ranking_module()
    if ranks is None or module is None:
        raise PluginError(f"the network of model {model.name!r} has no ranking module: there is nothing to fit")
    rng = np.random.default_rng((options.seed, 2))
    users = rng.permutation(np.unique(lists.examples.users))
    held = np.isin(lists.examples.users, users[: max(len(users) // 10, 1)])
    learn, watch = lists.take(np.flatnonzero(~held)), lists.take(np.flatnonzero(held))

    def loss(batch: Mapping[str, Any]) -> Tensor:
        scores = ranks.rank(batch["history"], batch["candidates"], batch["retrieval_scores"])
        logits = scores.masked_fill(batch["candidates"] == 0, float("-inf"))
        return nn.functional.cross_entropy(logits, batch["target"])

    def train_mode() -> None:
        network.eval()  # the frozen part works as it does when it serves
        module.train()

    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    own = {id(parameter) for parameter in parameters}
    frozen = [p for p in network.parameters() if id(p) not in own and p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        task = Task(
            phase="ranker",
            parameters=parameters,
            batches=lambda epoch: _ListBatches(model, histories, learn, options, epoch),
            loss=loss,
            score=lambda: _list_ndcg(model, network, histories, watch),
            train_mode=train_mode,
            epochs=options.ranker_epochs,
            patience=options.ranker_patience,
            lr=options.ranker_lr,
            weight_decay=options.ranker_weight_decay,
            seed=options.seed,
            beta2=options.beta2,
            # Before the first epoch it ranks as retrieval does; whether it is better than that, the gate asks of
            # validation users, who are more than the few lists watched here.
            start_counts=False,
            schedule=options.schedule,
            guard=partial(plugin_call, model, "rank"),
        )
        return run(network, task, state=state, progress=progress)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


class _ListBatches:
    """One epoch's candidate lists, those of like history length together."""

    def __init__(self, model: Model, histories: HistoryBatch, lists: Lists, options: FitOptions, epoch: int) -> None:
        self._model, self._histories, self._lists = model, histories, lists
        lengths = np.minimum(lists.examples.stops - lists.examples.starts, model.max_length)
        rng = np.random.default_rng((options.seed, 3, epoch))
        rows = min(options.ranker_batch, max(len(lists) // options.min_batches, 1))
        self._rows = buckets(lengths, 1 << 60, rng, rows=rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for rows in self._rows:
            yield _list_tensors(self._model, self._histories, self._lists.take(rows))


def _list_tensors(model: Model, histories: HistoryBatch, lists: Lists) -> dict[str, Any]:
    longest = max(int((lists.rows >= 0).sum(1).max()), 2)  # batch norm takes no lists of one
    rows = lists.rows[:, :longest]
    inputs = ranker_inputs(rows, lists.scores[:, :longest])
    known = before(histories, lists.examples.starts, lists.examples.stops)
    with plugin_call(model, "encode", known):
        history = tensors(model, known)
    return {
        "history": history,
        **{name: torch.from_numpy(array) for name, array in inputs.items()},
        "target": torch.from_numpy(lists.places),
    }


def _list_ndcg(model: Model, network: nn.Module, histories: HistoryBatch, lists: Lists) -> float:
    """Returns the mean NDCG@10 within the lists."""
    ranks: list[NDArray[np.float64]] = []
    device = device_of(network)
    for start in range(0, len(lists), 256):
        part = lists.take(np.arange(start, min(start + 256, len(lists))))
        known = before(histories, part.examples.starts, part.examples.stops)
        with plugin_call(model, "rank", known):
            scores = rerank(network, tensors(model, known, device), part.rows, part.scores)
        ranks.append(target_ranks(scores, np.arange(len(part)), part.places))
    return float(per_user_at(np.concatenate(ranks), np.arange(len(lists)), len(lists), 10)["ndcg"].mean())
