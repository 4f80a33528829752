"""Gives added items, which no model met in training, their share of the places of an answer."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.candidates import top_k
from honeyguide.sdk.errors import Unavailable
from honeyguide.server.bundles.catalogue import ItemFilter
from honeyguide.server.bundles.retrieval import Candidates
from honeyguide.server.bundles.store_numbers import TypeNumbers
from honeyguide.server.cold_items.segment import Segment
from honeyguide.server.events.store import EventStore, StoredHistory
from honeyguide.server.serving.histories import UserInput
from honeyguide.server.serving.queries import ItemSource

__all__ = ["Filled", "allowed_new", "explore", "places_of_new"]

Filled = tuple[Candidates, NDArray[np.int_], list[int]]
"""Items of a batch, the source of each, and how many each user has: what `honeyguide.server.serving.answers.fill`
returns."""
Mask = NDArray[np.bool_]

_TINY = 1e-6  # .3 · 10 is less than 3 in binary
_DAY_MS = 86_400_000


def allowed_new(
    segment: Segment,
    users: Sequence[UserInput],
    store: EventStore | None,
    filters: Sequence[ItemFilter | None],
    drop_seen: Sequence[bool],
    negative: TypeNumbers | None = None,
) -> Mask:
    """Returns (users, added): which of the added items each user may get.

    ``negative``: the types of events that say that an item is disliked; the last event of a user with an item decides.
    """
    allowed = np.ones((len(users), len(segment.catalogue)), np.bool_)
    masks: dict[int, Mask] = {}
    for user, limit in enumerate(filters):
        if limit is None:
            continue
        if id(limit) not in masks:
            mask = segment.catalogue.allowed(limit)
            masks[id(limit)] = np.ones(allowed.shape[1], np.bool_) if mask is None else mask
            masks[id(limit)][segment.catalogue.excluded(limit)] = False
        allowed[user] = masks[id(limit)]
    reading = [user for user, drops in enumerate(drop_seen) if drops or negative is not None]
    named = [(user, user_id) for user in reading if (user_id := users[user].user_id) is not None]
    stored: dict[int, StoredHistory] = {}
    if store is not None and named:
        histories = store.histories([user_id for _, user_id in named])
        stored = {user: history for (user, _), history in zip(named, histories, strict=True)}
    for user in reading:
        unwanted = np.zeros(allowed.shape[1], np.bool_)
        if store is not None and user in stored:
            # Of a damaged file; the answer says that a history cannot be read.
            with contextlib.suppress(Unavailable, IndexError):
                _mark_stored(unwanted, segment, stored[user], store, None if drop_seen[user] else negative)
        if (inline := users[user].history) is not None and inline.item_ids:
            marks: Mask | bool = drop_seen[user] or negative is None
            if negative is not None and not marks and inline.event_types:
                marks = negative.names(inline.event_types) > 0
            _mark(unwanted, segment.catalogue.rows(inline.item_ids), marks)
        allowed[user] &= ~unwanted
    return allowed


def _mark_stored(
    unwanted: Mask, segment: Segment, history: StoredHistory, store: EventStore, negative: TypeNumbers | None
) -> None:
    """Marks what a user has met or, where there are types that are negative, what these say of it."""
    rows = segment.numbers.rows(history.items, store.item_ids)
    _mark(unwanted, rows, True if negative is None else negative.types(history.event_types, store.event_types) > 0)
    if negative is None and history.seen is not None:
        _mark(unwanted, segment.numbers.rows(history.seen, store.item_ids), True)


def places_of_new(users: Sequence[UserInput], ks: NDArray[np.int_], share: float) -> NDArray[np.int_]:
    """Returns (users,) how many of k places are for added items: their share, and what is left over as a chance.

    Of ten places a share of .1 is one, of five it is one for every second user. The user and the day decide, so that
    who asks again gets the same; of a user without a name, the newest event.
    """
    places = ks * share
    whole: NDArray[np.int_] = np.floor(places + _TINY).astype(np.int_)
    left = places - whole
    if (left > _TINY).any():
        whole += np.frombuffer(b"".join(map(_lot, users)), np.uint32) / 2**32 < left - _TINY
    return whole


def explore(
    filled: Filled,
    items: int,
    scores: NDArray[np.float32],
    allowed: Mask,
    ks: NDArray[np.int_],
    kept: NDArray[np.int_],
) -> Filled:
    """Puts added items in their places, spread evenly over an answer, and into those that would be empty.

    Args:
        filled: the answers without them.
        items: how many the catalogue has; added item r is answered as row ``items`` + r.
        scores: (users, added) higher is better, of any scale: it orders the added items among themselves.
        allowed: (users, added) which of them each user may get.
        ks: (users,) how many items each asked for.
        kept: (users,) how many of these places are for added items; the popular items make way first.
    """
    ranking, sources, lengths = filled
    have = np.array(lengths)
    free = ks - have
    count = np.minimum(np.maximum(kept, free), allowed.sum(1))  # (users,) new items of each
    if not count.any():
        return filled
    stay = np.minimum(have, ks - count)
    totals = stay + count
    width = int(totals.max())
    best, own = top_k(np.where(allowed, scores, np.float32(-np.inf)), int(count.max()))
    column = np.arange(width)
    # The j-th of n new items is the last of the j-th of n equal parts: as even as can be, and never first of two.
    is_new = np.zeros((len(ks), width + 1), np.bool_)
    user, number = np.nonzero(np.arange(count.max()) < count[:, None])
    is_new[user, (number + 1) * totals[user] // count[user] - 1] = True
    is_new = is_new[:, :width]
    is_old = ~is_new & (column < totals[:, None])
    rows = np.full((len(ks), width), -1, np.int32)
    values = np.full(rows.shape, -np.inf, np.float32)
    kinds = np.full(rows.shape, int(ItemSource.NEW))
    from_old = np.arange(ranking.rows.shape[1]) < stay[:, None]
    rows[is_old], values[is_old] = ranking.rows[from_old], ranking.scores[from_old]
    kinds[is_old] = sources[from_old]
    from_new = np.arange(best.shape[1]) < count[:, None]
    rows[is_new] = items + best[from_new]
    alone = stay == 0
    values[is_new] = np.where(np.repeat(alone, count), own[from_new], np.nan)
    _score_as_before(values)
    return Candidates(rows, values), kinds, totals.tolist()


def _score_as_before(values: NDArray[np.float32]) -> None:
    """Gives each NaN the number before it in its row, or where there is none the first one of the row."""
    gaps = np.isnan(values)
    place = np.maximum.accumulate(np.where(gaps, 0, np.arange(values.shape[1])), axis=1)
    values[:] = np.take_along_axis(values, place, 1)
    first = np.argmax(~np.isnan(values), axis=1)[:, None]
    values[:] = np.where(np.isnan(values), np.take_along_axis(values, first, 1), values)


def _lot(user: UserInput) -> bytes:
    """Returns four bytes, the same for a user all day."""
    name = user.user_id or (user.history.item_ids[-1] if user.history and user.history.item_ids else "")
    return blake2b(f"{name} {user.request_time_ms // _DAY_MS}".encode(), digest_size=4).digest()


def _mark(unwanted: Mask, rows: NDArray[np.int32], marks: Mask | bool) -> None:
    """Marks rows of a segment, -1: no row of it; the last mark of a row holds."""
    there = rows >= 0
    unwanted[rows[there]] = marks if isinstance(marks, bool) else marks[there]
