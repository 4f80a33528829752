"""Says what a data set must have at least: something to learn from, and users to validate on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from honeyguide.sdk.errors import DataError

if TYPE_CHECKING:
    from honeyguide.training.dataset import Dataset

__all__ = ["check_minimum", "check_validated", "too_short"]


def check_minimum(data: Dataset) -> None:
    """Raises `DataError` with a remedy where no model can be trained on a data set.

    That takes a user with two baskets of training events (events of equal time are one basket), since a basket is
    predicted from those before it; and one with validation events and others before them.
    """
    if not _has_two_baskets(data):
        raise too_short(has_time=data.spec.has_time)
    check_validated(data)


def check_validated(data: Dataset) -> None:
    """Raises `DataError` with a remedy where there is nobody to validate on."""
    user, split = data.events["user"].to_numpy(), data.events["split"].to_numpy()
    known = np.bincount(user[split == 0], minlength=data.users.height) > 0  # (users,)
    if not known[user[split == 1]].any():
        raise DataError(
            f"data set {data.name!r} has nobody to validate on: no user has events in that part and others before it",
            remedy=_other_split(has_time=data.spec.has_time),
        )


def too_short(*, has_time: bool) -> DataError:
    """Returns the error for a data set in which no user has two baskets to learn from."""
    return DataError(
        "no user has two baskets of training events, so there is nothing to predict",
        remedy=_other_split(has_time=has_time),
    )


def _other_split(*, has_time: bool) -> str:
    """Names the splits that leave short histories something."""
    splits = "--split global-time or --split random" if has_time else "--split random"
    return f"prepare the log again with {splits}, or one with longer histories"


def _has_two_baskets(data: Dataset) -> bool:
    events = data.events.filter(data.events["split"] == 0)
    user = events["user"].to_numpy()  # ascending
    same = user[1:] == user[:-1]
    if data.spec.has_time:
        same &= np.diff(events["time_ms"].to_numpy()) != 0
    return bool(same.any())
