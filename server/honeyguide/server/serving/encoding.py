"""Encodes a batch of users: whole, by the events that are new, or not at all where nothing changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import Arrays, HistoryBatch
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.run_limit import RunLimit
from honeyguide.server.bundles.user_cache import ReadUser
from honeyguide.server.ops.metrics import Metrics

__all__ = ["EncodedUsers"]

_MOST_STEPS = 4
"""New events that are stepped through; beyond, the whole history is encoded. Each step is a run of a graph."""


class EncodedUsers:
    """Batch of users, none without history; what several stages need of them is computed once."""

    def __init__(self, user_ids: Sequence[str | None], histories: HistoryBatch, metrics: Metrics) -> None:
        """Computes nothing yet.

        Args:
            user_ids: by which users may be met again; None for those whose history is not the stored one alone.
            histories: what they did.
            metrics: where it is counted how they were encoded.
        """
        self.histories = histories
        self._ids, self._metrics = user_ids, metrics
        self.limit: RunLimit | None = None
        """Limit on the graphs that are run for them now; None: there is none."""
        self._arrays: dict[LoadedBundle, Arrays] = {}
        self._vectors: dict[RetrievingBundle, NDArray[np.float32]] = {}

    def arrays(self, bundle: LoadedBundle) -> Arrays:
        """Returns what the bundle's graphs take."""
        if bundle not in self._arrays:
            self._arrays[bundle] = bundle.encode(bundle.recent(self.histories))
        return self._arrays[bundle]

    def vectors(self, bundle: RetrievingBundle) -> NDArray[np.float32]:
        """Returns the (users, width) vectors, or scores of the catalogue."""
        if bundle not in self._vectors:
            with self._metrics.stage("encode"):
                if bundle.cache.on and self._ids.count(None) < len(self._ids):
                    self._vectors[bundle] = self._recall(bundle)
                else:
                    self._vectors[bundle] = bundle.read(self.arrays(bundle), self.limit)[0]
                    self._count(bundle, "encoded", len(self._ids))
        return self._vectors[bundle]

    def _recall(self, bundle: RetrievingBundle) -> NDArray[np.float32]:
        """Reads users, but takes what the cache keeps as far as it goes, and keeps what comes out.

        A vector and a state are functions of the encoded events and of nothing else. So what is kept holds if its
        events are those that would be encoded now, and is a beginning if these begin with its own, whatever was
        deleted, imported or reordered meanwhile.
        """
        recent = bundle.recent(self.histories)
        events = _as_bytes(recent)
        kept = bundle.cache.get(self._ids)
        same = [own.vector for own, now in zip(kept, events, strict=True) if own is not None and own.events == now]
        if len(same) == len(kept):  # as it mostly is for users who come again
            self._count(bundle, "reused", len(kept))
            return np.array(same)
        vectors = np.empty((len(recent), bundle.width), np.float32)
        states = [np.empty(0, np.float32)] * len(recent)
        had = np.zeros(len(recent), np.int64)  # events that what is kept already knows
        for user, known in enumerate(kept):
            if known is not None and events[user].startswith(known.events):
                vectors[user], states[user], had[user] = known.vector, known.state, known.count
        new = recent.lengths - had
        reused = new == 0
        stepped = ~reused & (had > 0) & (new <= _MOST_STEPS) & bundle.manifest.steps

        if (encoded := np.flatnonzero(~reused & ~stepped)).size:
            everybody = encoded.size == len(recent)
            arrays = self.arrays(bundle) if everybody else bundle.encode(recent.take(encoded))
            vectors[encoded], fresh = bundle.read(arrays, self.limit)
            for user, state in zip(encoded.tolist(), fresh, strict=True):
                states[user] = state
        for step in range(int(new[stepped].max(initial=0))):
            going = np.flatnonzero(stepped & (new > step))
            stops = recent.offsets[going] + had[going] + step + 1
            newest = recent.cut(stops - 2, stops)  # the one before tells how long ago it was
            if recent.request_times_ms is not None:
                newest = dataclasses.replace(newest, request_times_ms=recent.request_times_ms[going])
            before = np.stack([states[user] for user in going.tolist()])
            fresh, vectors[going] = bundle.step(before, newest, self.limit)
            for user, state in zip(going.tolist(), fresh, strict=True):
                states[user] = state

        for user in np.flatnonzero(~reused).tolist():
            if (user_id := self._ids[user]) is not None:
                # Copies, or one user would keep the whole batch in memory.
                read = ReadUser(events[user], int(recent.lengths[user]), vectors[user].copy(), states[user].copy())
                bundle.cache.put(user_id, read)
        for outcome, users in (("encoded", encoded.size), ("stepped", stepped.sum()), ("reused", reused.sum())):
            self._count(bundle, outcome, int(users))
        return vectors

    def _count(self, bundle: RetrievingBundle, outcome: str, users: int) -> None:
        if users:
            self._metrics.users_met(bundle.manifest.name, outcome).inc(users)


def _as_bytes(histories: HistoryBatch) -> list[bytes]:
    """Returns each user's events, every column of them, event by event: equal where the histories are."""
    columns = [histories.items, histories.times_ms, histories.event_types, *histories.features.values()]
    tables = [c.reshape(-1, 1).view(np.uint8) for c in columns if c is not None]
    table = np.concatenate(tables, axis=1)  # (events, bytes of an event)
    flat, width = table.tobytes(), table.shape[1]
    return [flat[start * width : stop * width] for start, stop in pairwise(histories.offsets.tolist())]
