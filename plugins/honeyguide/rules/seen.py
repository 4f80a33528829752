"""Drops what the user has met already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import RankedCandidates, RegisterRule, Rule, hookimpl

__all__ = ["Seen", "register_rules"]


class Seen(Rule):
    """Filter of the items of the user's history; what is left keeps its order.

    For pipelines whose retrieval returns seen items, because items of the data repeat or ``drop_seen`` is false: with
    ``newest`` what was bought just now stays away and what was bought last month may come back.
    """

    name = "seen"

    @dataclass(frozen=True)
    class Config:
        """Options of ``seen``."""

        newest: int = 0
        """How many of the user's newest events count, 0 or more; 0 = all."""

        def __post_init__(self) -> None:
            if self.newest < 0:
                raise ValueError(f"newest is {self.newest}; it must be 0 (all events) or more")

    def apply(self, ranking: RankedCandidates, k: int) -> NDArray[np.intp]:  # noqa: ARG002  # the contract's signature
        """Returns (batch, n) places, -1 where the item was seen; more than k, for rules that run after."""
        history = ranking.history.newest(self.config.newest) if self.config.newest else ranking.history
        items = np.int64(len(ranking.item_vectors))
        users = np.arange(len(ranking.rows))
        met = np.repeat(users, history.lengths) * items + history.items  # (events,) one number for each user and item
        there = ranking.rows >= 0
        unseen = there & ~np.isin(users[:, None] * items + ranking.rows, met)
        return np.where(unseen, np.arange(ranking.rows.shape[1]), -1)


@hookimpl
def register_rules(register: RegisterRule) -> None:
    """Registers the rule."""
    register(Seen)
