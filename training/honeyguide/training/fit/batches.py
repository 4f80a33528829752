"""Cuts training histories into windows, draws each position's target, and deals them out in batches of equal length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honeyguide.sdk.event_weights import event_weights
from honeyguide.sdk.history import HistoryBatch
from honeyguide.sdk.model import Model
from honeyguide.training.fit.minimum import too_short
from honeyguide.training.plugin_calls import plugin_call
from honeyguide.training.scoring.device import tensors

__all__ = ["Baskets", "EpochBatches", "TrainingBatches", "before", "buckets", "find_baskets"]

Long = NDArray[np.int64]

_EARLIER = 10
"""How many windows' length of events before a window go with it; the longest histories would take too much."""


@dataclass(frozen=True, slots=True)
class Baskets:
    """Events grouped into baskets: a user's events of equal time are one; without times each event is one."""

    offsets: Long
    """(baskets + 1,) basket s holds events ``offsets[s]:offsets[s + 1]``."""
    users: Long
    """(batch + 1,) user i owns baskets ``users[i]:users[i + 1]``."""

    @property
    def per_user(self) -> Long:
        """(batch,) baskets of each user."""
        return np.diff(self.users)

    def draw(self, baskets: Long, rng: np.random.Generator) -> Long:
        """Returns one event drawn at random from each of the given baskets."""
        sizes = self.offsets[baskets + 1] - self.offsets[baskets]
        return self.offsets[baskets] + (rng.random(len(baskets)) * sizes).astype(np.int64)


def find_baskets(histories: HistoryBatch) -> Baskets:
    """Finds the baskets of histories."""
    starts_here = np.ones(len(histories.items), np.bool_)
    if histories.times_ms is not None:
        starts_here[1:] = np.diff(histories.times_ms) != 0
        starts_here[histories.offsets[:-1][histories.lengths > 0]] = True
    starts = np.flatnonzero(starts_here)
    return Baskets(
        offsets=np.append(starts, len(histories.items)).astype(np.int64),
        users=np.searchsorted(starts, histories.offsets).astype(np.int64),
    )


def before(histories: HistoryBatch, starts: Long, stops: Long) -> HistoryBatch:
    """Returns what was known when event ``stops[i]`` came: events ``starts[i]:stops[i]``; that event's time is now."""
    batch = histories.cut(starts, stops)
    return batch if histories.times_ms is None else replace(batch, request_times_ms=histories.times_ms[stops])


def buckets(lengths: Long, tokens: int, rng: np.random.Generator, *, rows: int = 1 << 30) -> list[Long]:
    """Deals rows into batches of nearly equal length, in random order.

    Args:
        lengths: (rows,) length of each.
        tokens: the most that rows × longest length of a batch comes to; a batch has at least one row.
        rng: draws the order of batches, and of the rows of equal length.
        rows: the most rows of a batch.
    """
    order = np.lexsort((rng.random(len(lengths)), -lengths))  # longest first
    cuts = [0]
    while cuts[-1] < len(order):
        longest = int(lengths[order[cuts[-1]]])
        cuts.append(cuts[-1] + min(max(tokens // longest, 1), rows))
    parts = np.split(order, cuts[1:-1])
    return [parts[i] for i in rng.permutation(len(parts))]


class TrainingBatches:
    """Maker of each epoch's batches, the same ones for the same seed and epoch.

    Every event before a user's last basket is a position, in exactly one window of at most ``model.max_length`` events;
    the windows are cut from the newest end, so the odd one is the oldest. The target of an event in basket s is an item
    drawn at random from basket s + 1, drawn again in each epoch. With fewer than ``at_least`` batches an epoch, batches
    are made smaller than ``tokens``. Where ``target_weight`` (see `event_weights`) says what an event counts for as a
    target, batches hold it.
    """

    def __init__(
        self,
        model: Model,
        histories: HistoryBatch,
        *,
        tokens: int,
        seed: int,
        at_least: int = 1,
        target_weight: str = "",
    ) -> None:
        self._model = model
        self._histories = histories
        self._seed = seed
        self._weights = event_weights(histories, model.data, target_weight)
        self._baskets = find_baskets(histories)
        last = np.maximum(self._baskets.users[1:] - 1, 0)  # a user's last basket is target only
        begins = histories.offsets[:-1]
        ends = np.where(self._baskets.per_user > 0, self._baskets.offsets[last], begins)  # (batch,)
        if not (ends > begins).any():
            raise too_short(has_time=histories.times_ms is not None)
        counts = -(-(ends - begins) // model.max_length)  # windows of each user
        users = np.repeat(np.arange(len(counts)), counts)
        from_end = np.cumsum(counts)[users] - np.arange(len(users)) - 1  # 0 is the newest window
        stops = ends[users] - from_end * model.max_length
        starts = np.maximum(begins[users], stops - model.max_length)
        self._windows = histories.cut(starts, stops)
        plain = HistoryBatch(histories.items, histories.offsets)
        self._earlier = plain.cut(np.maximum(begins[users], starts - _EARLIER * model.max_length), starts)
        lengths = stops - starts
        events = np.repeat(starts - self._windows.offsets[:-1], lengths) + np.arange(lengths.sum())
        basket_of = np.repeat(np.arange(len(self._baskets.offsets) - 1), np.diff(self._baskets.offsets))
        self._next_basket = basket_of[events] + 1  # (positions,)
        if histories.times_ms is not None:  # a window may end within a basket, all of which is asked about the next
            newest = self._next_basket[self._windows.offsets[1:] - 1]
            moments = histories.times_ms[self._baskets.offsets[newest]]
            self._windows = replace(self._windows, request_times_ms=moments)
        self._tokens = tokens if at_least == 1 else min(tokens, max(len(events) // at_least, 1))

    @property
    def positions(self) -> int:
        """How many targets an epoch has."""
        return len(self._next_basket)

    def epoch(self, epoch: int) -> EpochBatches:
        """Returns the batches of one epoch."""
        rng = np.random.default_rng((self._seed, epoch))
        drawn = self._baskets.draw(self._next_basket, rng)
        weights = None if self._weights is None else self._weights[drawn]
        targets = HistoryBatch(
            items=self._histories.items[drawn],
            offsets=self._windows.offsets,
            features={} if weights is None else {"weights": weights / weights.mean()},
        )
        rows = buckets(self._windows.lengths, self._tokens, rng)
        return EpochBatches(self._model, self._windows, self._earlier, targets, rows)


@dataclass(frozen=True, slots=True)
class EpochBatches:
    """One epoch's batches: dicts of what `Model.encode` gives, and two more arrays of tokens, 0 for none.

    These are "targets" (batch, length), and "earlier" (batch, events), what the user did before the window. Where
    targets are weighed there is also "weights" (batch, length), what each counts for, 1 on average over the epoch.
    """

    model: Model
    windows: HistoryBatch
    earlier: HistoryBatch
    targets: HistoryBatch
    """Laid out as ``windows``: each item is the target of the event in its place, a feature "weights" its weight."""
    rows: list[Long]
    """The windows of each batch."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for rows in self.rows:
            length = self.model.max_length
            targets = self.targets.take(rows)
            earlier = self.earlier.take(rows).tokens(_EARLIER * length)
            more = {"targets": torch.from_numpy(targets.tokens(length)), "earlier": torch.from_numpy(earlier)}
            for name, column in targets.features.items():
                more[name] = torch.from_numpy(targets.padded(column, length))
            windows = self.windows.take(rows)
            with plugin_call(self.model, "encode", windows):
                encoded = tensors(self.model, windows)
            yield encoded | more
