"""Lays many histories out as flat arrays: the one form in which behaviour reaches a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["EvaluationSet", "HistoryBatch"]

Int = NDArray[np.int32]
Long = NDArray[np.int64]
Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HistoryBatch:
    """Ragged batch of histories: user i owns events ``offsets[i]:offsets[i + 1]``, oldest first."""

    items: Int
    """(events,) rows of the catalogue; unknown items were left out before."""
    offsets: Long
    """(batch + 1,) from 0 to the number of events, non-decreasing."""
    times_ms: Long | None = None
    """(events,) milliseconds since 1970-01-01 UTC, or None where the data has no times."""
    features: Mapping[str, Float] = field(default_factory=dict)
    """Event features by name, (events,) each, already normalised (see `FeatureScaler`)."""
    event_types: Int | None = None
    """(events,) place of the event's type in `DataSpec.event_types` plus 1; 0 is an unknown type."""
    request_times_ms: Long | None = None
    """(batch,) the moment of each request, or None where it is not known."""
    lengths: Long = field(init=False, repr=False, compare=False)
    """(batch,) events of each user, as the offsets say."""

    _windows: dict[int, tuple[Long, NDArray[np.bool_]] | None] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "lengths", self.offsets[1:] - self.offsets[:-1]
        )  # once: every reader of the batch asks for them

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def from_lists(cls, histories: Sequence[Sequence[int]]) -> HistoryBatch:
        """Builds a batch of item rows alone; for tests and small programs."""
        offsets = np.zeros(len(histories) + 1, np.int64)
        np.cumsum([len(h) for h in histories], out=offsets[1:])
        flat = [row for history in histories for row in history]
        return cls(items=np.asarray(flat, np.int32), offsets=offsets)

    def take(self, users: Long) -> HistoryBatch:
        """Returns the batch of the given users, in the given order."""
        lengths = self.lengths[users]
        return self._gather(self.offsets[:-1][users], lengths, users)

    def cut(self, starts: Long, stops: Long) -> HistoryBatch:
        """Returns the batch whose user i owns events ``starts[i]:stops[i]`` of this one, without times of requests."""
        return replace(self._gather(starts, stops - starts, None), request_times_ms=None)

    def newest(self, count: int) -> HistoryBatch:
        """Returns the batch with at most the ``count`` newest events of each user."""
        if max(self.lengths.tolist(), default=0) <= count:
            return self
        lengths = np.minimum(self.lengths, count)
        return self._gather(self.offsets[1:] - lengths, lengths, None)

    def only(self, mask: NDArray[np.bool_]) -> HistoryBatch:
        """Returns the batch with the marked (events,) alone; some histories may become empty."""
        before = np.concatenate([[0], np.cumsum(mask)])
        return replace(
            self,
            items=self.items[mask],
            offsets=before[self.offsets].astype(np.int64),
            times_ms=None if self.times_ms is None else self.times_ms[mask],
            features={name: column[mask] for name, column in self.features.items()},
            event_types=None if self.event_types is None else self.event_types[mask],
        )

    def tokens(self, max_length: int) -> Long:
        """Returns (batch, length) tokens of the newest events, newest in the last column.

        A token is row + 1; 0 pads on the left. ``length`` is the longest of the batch, at most ``max_length`` and at
        least 1.
        """
        return self.padded(self.items.astype(np.int64) + 1, max_length)  # type: ignore[return-value]  # as many tokens

    def padded(self, values: NDArray[np.generic], max_length: int) -> NDArray[np.generic]:
        """Returns (batch, length, ...) of (events, ...) values, laid out as `tokens` is, padded with 0."""
        window = self._window(max_length)
        if window is None:
            return values.reshape(self.lengths.size, -1, *values.shape[1:])
        index, valid = window
        out = np.zeros((*valid.shape, *values.shape[1:]), values.dtype)
        out[valid] = values[index]
        return out

    def _window(self, max_length: int) -> tuple[Long, NDArray[np.bool_]] | None:
        """Returns which events stand where in a padded column; None: they need no padding."""
        if max_length not in self._windows:  # every column of the batch is laid out alike
            self._windows[max_length] = None if self._is_even(max_length) else self._lay_out(max_length)
        return self._windows[max_length]

    def _is_even(self, max_length: int) -> bool:
        """Whether all users have as many events, none of them too many: then the columns need no padding."""
        lengths = self.lengths.tolist()
        return bool(lengths) and 1 <= lengths[0] <= max_length and lengths.count(lengths[0]) == len(lengths)

    def _lay_out(self, max_length: int) -> tuple[Long, NDArray[np.bool_]]:
        lengths = np.minimum(self.lengths, max_length)  # (batch,)
        length = max(int(lengths.max(initial=0)), 1)
        back = np.arange(length, 0, -1)  # distance from the end, (length,)
        valid = back[None, :] <= lengths[:, None]  # (batch, length)
        index = self.offsets[1:, None] - back[None, :]
        return index[valid], valid

    def _gather(self, starts: Long, lengths: Long, users: Long | None) -> HistoryBatch:
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        index = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        now = self.request_times_ms if users is None or self.request_times_ms is None else self.request_times_ms[users]
        return HistoryBatch(
            items=self.items[index],
            offsets=offsets,
            times_ms=None if self.times_ms is None else self.times_ms[index],
            features={name: column[index] for name, column in self.features.items()},
            event_types=None if self.event_types is None else self.event_types[index],
            request_times_ms=now,
        )


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Users with what they did and what they did next."""

    histories: HistoryBatch
    """(users) inputs, none of them empty."""
    target_users: Long
    """(targets,) place of the user in ``histories``, ascending; every user has at least one target."""
    target_items: Int
    """(targets,) catalogue rows, without duplicates within a user; -1 is an item that the catalogue lacks: a miss."""
    user_ids: tuple[str, ...] = ()
    """(users,) the ids, where they are known."""
    owners: Long | None = None
    """(users,) ascending numbers where one user asks several times: all averages are means over users of their means.
    None: each is a user of its own."""

    def __len__(self) -> int:
        return len(self.histories)

    @property
    def users(self) -> int:
        """How many users there are, however often each asks."""
        return len(self) if self.owners is None else len(np.unique(self.owners))

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """What each counts for in an average, (users,), 1 in all; None: all alike."""
        if self.owners is None:
            return None
        _, place, counts = np.unique(self.owners, return_inverse=True, return_counts=True)
        weights: NDArray[np.float64] = 1.0 / (len(counts) * counts[place])
        return weights

    def take(self, users: Long) -> EvaluationSet:
        """Returns the set of the given users; ``users`` is ascending without duplicates."""
        place = np.full(len(self), -1, np.int64)
        place[users] = np.arange(len(users))
        chosen = place[self.target_users] >= 0
        return EvaluationSet(
            histories=self.histories.take(users),
            target_users=place[self.target_users[chosen]],
            target_items=self.target_items[chosen],
            user_ids=tuple(self.user_ids[i] for i in users) if self.user_ids else (),
            owners=None if self.owners is None else self.owners[users],
        )
