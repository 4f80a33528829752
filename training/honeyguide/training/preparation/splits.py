"""Divides events into training, validation and test."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.errors import ConfigError, DataError

__all__ = ["basket_starts", "cut_times", "global_time", "leave_one_out", "parse_cut"]

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
    places = [int(len(ordered) * (1 - share)) for share in (validation + test, test)]
    return int(ordered[places[0]]), int(ordered[places[1]])


def global_time(time_ms: Int, validation_from: int, test_from: int) -> NDArray[np.int8]:
    """Gives the events from two moments on to validation and test; raises `DataError` where a part stays empty."""
    if validation_from >= test_from:
        raise DataError(
            f"validation begins at {_shown(validation_from)}, test at {_shown(test_from)}: nothing lies between",
            remedy="choose an earlier --validation-from or larger fractions",
        )
    parts = ((time_ms >= validation_from).astype(np.int8) + (time_ms >= test_from)).astype(np.int8)
    for code, name in enumerate(("training", "validation", "test")):
        if not (parts == code).any():
            raise DataError(
                f"no event is left for {name}; the data reach from {_shown(int(time_ms.min()))} to "
                f"{_shown(int(time_ms.max()))}",
                remedy="choose other cut times or fractions",
            )
    return parts


def parse_cut(text: str, unit: str) -> int:
    """Reads a cut time as milliseconds: a number in the unit of the data, or an ISO date (UTC)."""
    try:
        if unit != "datetime":
            return round(float(text) * (1000 if unit == "seconds" else 1))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"cut time {text!r} is neither a number nor an ISO date such as 2011-10-01") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _shown(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
