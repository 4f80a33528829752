"""Divides events into training, validation and test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.training.preparation.times import moment_text

__all__ = [
    "basket_starts",
    "check_trainable",
    "cut_times",
    "global_time",
    "leave_one_out",
    "quantile_cuts",
    "random_parts",
]

Int = NDArray[np.integer]


def basket_starts(users: Int, time_ms: Int | None) -> NDArray[np.bool_]:
    """Marks each event that begins a basket: events of one user with equal times are one; without times each is one.

    Args:
        users: (events,) non-decreasing.
        time_ms: (events,) non-decreasing within a user.
    """
    begins = np.ones(len(users), bool)
    if time_ms is not None:
        begins[1:] = (users[1:] != users[:-1]) | (time_ms[1:] != time_ms[:-1])
    return begins


def leave_one_out(users: Int, time_ms: Int | None) -> NDArray[np.int8]:
    """Gives each user's last basket to test and the one before to validation; users with fewer than 3 train only.

    Returns:
        (events,) 0 train, 1 validation, 2 test.
    """
    nth = np.cumsum(basket_starts(users, time_ms), dtype=np.int32)  # number of the event's basket, over all users
    events = np.bincount(users)
    events = events[events > 0]  # (users,) in the order they come
    ends = np.cumsum(events)
    last, first = nth[ends - 1], nth[ends - events]  # (users,) numbers of their last and first basket
    left = np.repeat(last, events) - nth  # baskets of this user still to come
    enough = np.repeat(last - first >= 2, events)
    return np.where(enough, np.clip(2 - left, 0, 2), 0).astype(np.int8)


def cut_times(time_ms: Int, validation: float, test: float) -> tuple[int, int]:
    """Finds the times from which on the latest events make up the given shares; equal times stay together."""
    ordered = np.sort(time_ms)
    places = [min(int(len(ordered) * (1 - share)), len(ordered) - 1) for share in (validation + test, test)]
    return int(ordered[places[0]]), int(ordered[places[1]])


def quantile_cuts(users: Int, time_ms: Int, quantile: float) -> tuple[int, int]:
    """Finds the moments where validation and test begin, as the time-to-split study does (Gusak et al., RecSys 2025).

    Test is what came after the quantile of all times; validation, of what is left, what came after the same quantile of
    the times of users with two events or more.

    Raises:
        DataError: nobody has two events before the test.
    """
    test_from = int(np.floor(np.quantile(time_ms, quantile))) + 1  # what lies at the quantile is not after it
    before = time_ms < test_from
    often = np.bincount(users[before], minlength=int(users.max()) + 1) >= 2
    if not len(left := time_ms[before & often[users]]):
        raise DataError(
            f"nobody has two events before test begins at {moment_text(test_from)} (quantile {quantile:g})",
            remedy="choose a larger --quantile, or another --split",
        )
    return int(np.floor(np.quantile(left, quantile))) + 1, test_from


def global_time(time_ms: Int, validation_from: int, test_from: int) -> NDArray[np.int8]:
    """Gives the events from two moments on to validation and test; raises `DataError` where a part stays empty."""
    if validation_from >= test_from:
        raise DataError(
            f"validation begins at {moment_text(validation_from)}, test at {moment_text(test_from)}: "
            "nothing lies between",
            remedy="choose an earlier --validation-from, larger fractions or a smaller --quantile, or --split random",
        )
    parts = ((time_ms >= validation_from).astype(np.int8) + (time_ms >= test_from)).astype(np.int8)
    for code, name in enumerate(("training", "validation", "test")):
        if not (parts == code).any():
            raise DataError(
                f"no event is left for {name}; the data reach from {moment_text(int(time_ms.min()))} to "
                f"{moment_text(int(time_ms.max()))}",
                remedy="choose other cut times, fractions or another --quantile",
            )
    return parts


def random_parts(events: int, validation: float, test: float) -> NDArray[np.int8]:
    """Gives events to validation and test by chance, the same way each time, whatever their order.

    Returns:
        (events,) 0 train, 1 validation, 2 test.
    """
    parts = np.zeros(events, np.int8)
    shuffled = np.random.default_rng(0).permutation(events)
    tested = round(events * test)
    parts[shuffled[:tested]] = 2
    parts[shuffled[tested : tested + round(events * validation)]] = 1
    return parts


def _baskets(users: Int, time_ms: Int | None) -> NDArray[np.int64]:
    """Counts the baskets of each user, (users,)."""
    return np.bincount(users[basket_starts(users, time_ms)])


def check_trainable(users: Int, time_ms: Int | None, parts: NDArray[np.int8], kind: str, source: str) -> None:
    """Raises `DataError` where no model could learn from the training events, or be judged, naming a split that works.

    A model learns to predict a user's next basket from the one before: somebody needs two baskets of training events.
    It is judged on users with events in validation, and in test, and others before.
    """
    if not (problem := _untrainable(users, time_ms, parts)):
        return
    works = []
    if time_ms is not None and kind != "global-time":
        cuts = cut_times(time_ms, 0.1, 0.1)
        if cuts[0] < cuts[1] and not _untrainable(users, time_ms, global_time(time_ms, *cuts)):
            works.append("--split global-time")
    if kind != "random" and not _untrainable(users, time_ms, random_parts(len(users), 0.1, 0.1)):
        works.append("--split random")
    needs = f"the split is {kind}"
    if kind == "leave-one-out":
        needs = "a leave-one-out split needs users with 4 events or more at different times"
    most = int(_baskets(users, time_ms).max(initial=0))
    raise DataError(
        f"{problem}: {needs}, and the most that a user has is {most}",
        file=source,
        remedy=f"{' or '.join(works) or 'prepare a longer log'}; --no-trainable writes the data set all the same, "
        "such as to import its events",
    )


def _untrainable(users: Int, time_ms: Int | None, parts: NDArray[np.int8]) -> str:
    """Says why nothing can be trained on a split; "" where it can."""
    for code, name in ((1, "validation"), (2, "test")):
        known = np.bincount(users[parts < code], minlength=int(users.max()) + 1) > 0
        if not (known[users] & (parts == code)).any():
            return f"no user has {name} events and others before"
    train = parts == 0
    if _baskets(users[train], None if time_ms is None else time_ms[train]).max(initial=0) < 2:
        return "no user has two baskets of training events, so there is nothing to learn"
    return ""
