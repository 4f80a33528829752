"""Keeps one category from filling the answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import Categories, RankedCandidates, RegisterRule, Rule, hookimpl

__all__ = ["CategoryCap", "register_rules"]


class CategoryCap(Rule):
    """Limit of ``cap`` items of one category among the first k, walking down the ranking.

    An item of several categories counts in each of them, and is passed over when one of them is full. An item without
    a category is free. What is passed over moves behind in its old order, and nothing is dropped: where the candidates
    cannot fill k places within the cap, the best of the others do, because k items are worth more than the cap.
    """

    name = "category_cap"

    @dataclass(frozen=True)
    class Config:
        """Options of ``category_cap``."""

        cap: int = 3
        """The most items of one category among the first k; 1 or more."""

        def __post_init__(self) -> None:
            if self.cap < 1:
                raise ValueError(f"cap is {self.cap}; it must be 1 or more")

    def apply(self, ranking: RankedCandidates, k: int) -> NDArray[np.intp]:
        """Returns (batch, n) places: those within the cap first, at most k, then the others."""
        there = ranking.rows >= 0  # (batch, n)
        batch, count = there.shape
        codes, none = _codes(ranking.rows, ranking.categories)
        taken = np.zeros_like(there)
        counts = np.zeros((batch, none + 1), np.int32)  # how many items of each category were taken
        left = np.full(batch, k)  # how many more fit into the first k
        users = np.arange(batch)[:, None]
        for place in range(count):
            own = codes[:, place]  # (batch, width)
            fits = there[:, place] & (left > 0) & (counts[users, own] < self.config.cap).all(1)
            taken[:, place] = fits
            counts[users[fits], own[fits]] += 1
            counts[:, none] = 0  # this one is no category
            left -= fits
            if not left.any():
                break
        order = np.argsort(np.where(taken, 0, np.where(there, 1, 2)), axis=1, kind="stable")
        return np.where(np.take_along_axis(there, order, 1), order, -1)


@hookimpl
def register_rules(register: RegisterRule) -> None:
    """Registers the rule."""
    register(CategoryCap)


def _codes(rows: NDArray[np.int32], categories: Categories) -> tuple[NDArray[np.intp], int]:
    """Returns (batch, n, width) categories of each item, and the number that pads where it has fewer."""
    first = categories.offsets[np.maximum(rows, 0)]
    lengths = np.where(rows >= 0, categories.offsets[np.maximum(rows, 0) + 1] - first, 0)
    nth = np.arange(lengths.max(initial=0))
    inside = nth < lengths[:, :, None]
    codes = np.zeros(inside.shape, np.intp)
    codes[inside] = categories.codes[(first[:, :, None] + nth)[inside]]
    none = int(codes.max(initial=-1)) + 1
    codes[~inside] = none
    return codes, none
