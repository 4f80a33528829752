"""Says what of the held-out events is predicted in a global-time split: all of a user's, the last, or each in turn.

    T is where a part begins; h are events before it, 1 2 3 those of a user in it:   h h h | 1 2 3

    all         h h h → {1, 2, 3}                          one request, asked at T
    last        h h h 1 2 → 3                              one request, as late as there is a target
    successive  h h h → 1, h h h 1 → 2, h h h 1 2 → 3      a request each; figures are means over users of their means

The words are those of Gusak et al., *Time to Split* (RecSys 2025). Nobody learns from the events of the part, whichever
are its targets: they only are what the user did before the request. Users of whom nothing is known before T count from
their second event on.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.sdk.history import EvaluationSet, HistoryBatch

__all__ = ["TARGETS", "check_targets", "protocol_words", "requests_in_turn"]

TARGETS = ("all", "last", "successive")
"""What may be predicted of a user's held-out events."""
_MOST_EVENTS = 1 << 29
"""The most events that the histories of successive requests may hold together: 2 GB of items, 4 GB of times."""


def check_targets(targets: str, split: str) -> None:
    """Raises `DataError` where a split has no such targets."""
    if targets not in TARGETS:
        raise DataError(f"there are no targets {targets!r}", remedy=f"choose one of {', '.join(TARGETS)}")
    if targets != "all" and split != "global-time":
        raise DataError(
            f"the split is {split}, and only a global-time split has {targets!r} targets",
            remedy="prepare the log again with --split global-time",
        )


def protocol_words(split: str, targets: str) -> str:
    """Names a protocol, such as "global-time, successive targets"."""
    return f"{split}, {targets} targets" if split == "global-time" else split


def requests_in_turn(
    everything: HistoryBatch,
    users: NDArray[np.integer],
    begins: NDArray[np.bool_],
    parts: NDArray[np.integer],
    code: int,
    targets: str,
) -> tuple[EvaluationSet, NDArray[np.int64]] | None:
    """Makes the requests of "last" or "successive" targets; a target is a whole basket.

    Args:
        everything: all events, by user.
        users: (events,) the user of each, ascending.
        begins: (events,) whether it is the first of a basket.
        parts: (events,) 0 train, 1 validation, 2 test, never falling within a user.
        code: the part that is predicted.
        targets: "last" or "successive".

    Returns:
        The requests without ids, by user and time, and the (requests,) user of each; None where there are none.

    Raises:
        DataError: successive requests would hold more events than memory should.
    """
    first = np.flatnonzero(begins)  # (baskets,) its first event
    ends = np.append(first[1:], len(users))
    owner, part = users[first], parts[first]
    own = np.searchsorted(users, owner)  # the owner's first event
    chosen = (part == code) & (first > own)
    if targets == "last":
        chosen &= np.append((owner[1:] != owner[:-1]) | (part[1:] != code), np.True_)
    first, ends, owner, own = first[chosen], ends[chosen], owner[chosen], own[chosen]
    if not len(first):
        return None
    if (total := int((first - own).sum())) > _MOST_EVENTS:
        raise DataError(
            f"{len(first):,} {targets} targets have {total:,} events before them, more than the {_MOST_EVENTS:,} that "
            "are held at once",
            remedy="choose last targets, or a later cut",
        )
    histories = everything.cut(own, first)
    if everything.times_ms is not None:
        histories = dataclasses.replace(histories, request_times_ms=everything.times_ms[first])
    lengths = ends - first
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = everything.items[np.repeat(first, lengths) + place].astype(np.int64)
    catalogue = int(everything.items.max()) + 1
    pairs = np.unique(np.repeat(np.arange(len(first)), lengths) * catalogue + items)
    _, numbers = np.unique(owner, return_inverse=True)
    requests = EvaluationSet(
        histories=histories,
        target_users=pairs // catalogue,
        target_items=(pairs % catalogue).astype(np.int32),
        owners=numbers if targets == "successive" else None,
    )
    return requests, owner.astype(np.int64)
