"""Words what a data set lacks that nothing can be trained on; `prepare` refuses it unless told not to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from honeyguide.sdk.errors import DataError

if TYPE_CHECKING:
    from honeyguide.training.dataset import Dataset

__all__ = ["check_validated", "too_short"]


def check_validated(data: Dataset) -> None:
    """Raises `DataError` with a remedy where no user has validation events and others before them."""
    user, split = data.events["user"].to_numpy(), data.events["split"].to_numpy()
    known = np.bincount(user[split == 0], minlength=data.users.height) > 0  # (users,)
    if not known[user[split == 1]].any():
        raise DataError(
            f"data set {data.name!r} has nobody to validate on: no user has events in that part and others before it",
            remedy=_other_split(has_time=data.spec.has_time),
        )


def too_short(*, has_time: bool) -> DataError:
    """Returns the error for a data set in which no user has two baskets of training events."""
    return DataError(
        "no user has two baskets of training events, so there is nothing to predict",
        remedy=_other_split(has_time=has_time),
    )


def _other_split(*, has_time: bool) -> str:
    """Names the splits that leave short histories something."""
    splits = "--split global-time or --split random" if has_time else "--split random"
    return f"prepare the log again with {splits}, or one with longer histories"
