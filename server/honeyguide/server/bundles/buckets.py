"""Splits a batch into users of like length: beside one long history all others would be read as padding, mostly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["by_length"]

_LEAST = 64
"""Positions of padding that a run of its own must save: a run costs as much as some 40 positions of a small network."""


def by_length(lengths: NDArray[np.integer]) -> list[tuple[NDArray[np.int64], int]]:
    """Groups (batch,) lengths, none of them 0: up to the longest, up to half of it, up to a quarter, and so on.

    Who would save less than 64 positions together stays with the longer ones.

    Returns:
        Users of the batch, ascending, and the length that holds all of theirs; every user is in one group.
    """
    made: list[tuple[NDArray[np.int64], int]] = []
    waiting = np.argsort(-lengths, kind="stable")  # longest first
    while waiting.size:
        width = int(lengths[waiting[0]])
        short = waiting[lengths[waiting] <= width // 2]
        if short.size and short.size * (width - lengths[short[0]]) < _LEAST:
            short = short[:0]
        made.append((np.sort(waiting[: waiting.size - short.size]), width))
        waiting = short
    return made
