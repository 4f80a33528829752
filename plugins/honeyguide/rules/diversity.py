"""Trades relevance for variety: maximal marginal relevance (Carbonell & Goldstein, 1998)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import RankedCandidates, RegisterRule, Rule, hookimpl

__all__ = ["Diversity", "register_rules"]


class Diversity(Rule):
    """Selection of k items one by one, each the best of ``trade_off · relevance − (1 − trade_off) · similarity``.

    Relevance is the user's score, min-max normalised over the pool; similarity is the largest cosine between an item's
    vector and those picked before. The first pick is the best-ranked item. The others stay behind in their old order,
    so that a rule that runs after has something to choose from.
    """

    name = "diversity"
    needs_vectors = True

    @dataclass(frozen=True)
    class Config:
        """Options of ``diversity``."""

        trade_off: float = 0.7
        """From 0 (variety alone) to 1 (the order stays as it is)."""
        pool: int = 100
        """How many of the best candidates are picked from, 1 or more; k where that is larger."""

        def __post_init__(self) -> None:
            if not 0.0 <= self.trade_off <= 1.0:
                raise ValueError(f"trade_off is {self.trade_off}; it must be from 0 to 1")
            if self.pool < 1:
                raise ValueError(f"pool is {self.pool}; it must be 1 or more")

    def apply(self, ranking: RankedCandidates, k: int) -> NDArray[np.intp]:
        """Returns (batch, n) places: the k picks, then the others."""
        pool = max(self.config.pool, k)
        rows, scores = ranking.rows[:, :pool], ranking.scores[:, :pool]  # (batch, n)
        batch, count = rows.shape
        turn = np.full(ranking.rows.shape, k, np.intp)  # as which pick each place was chosen, from 0; k: never
        turn[ranking.rows < 0] = k + 1
        if not turn.size:
            return turn
        there = rows >= 0
        relevance = self.config.trade_off * _min_max(scores, there)
        vectors = _unit(ranking.item_vectors[np.maximum(rows, 0)])  # (batch, n, d)
        nearest = np.full((batch, count), -np.inf, np.float32)  # cosine with the most similar item picked so far
        users = np.arange(batch)
        gain = relevance
        for pick in range(min(k, count)):
            best = np.where(there, gain, -np.inf).argmax(1)  # (batch,), the better-ranked of equals
            turn[users, best] = np.where(there[users, best], pick, turn[users, best])
            there[users, best] = False
            similarity = np.einsum("bnd,bd->bn", vectors, vectors[users, best])
            nearest = np.maximum(nearest, similarity)
            gain = relevance - (1.0 - self.config.trade_off) * nearest
        order = np.argsort(turn, axis=1, kind="stable")
        return np.where(np.take_along_axis(turn, order, 1) <= k, order, -1)


@hookimpl
def register_rules(register: RegisterRule) -> None:
    """Registers the rule."""
    register(Diversity)


def _min_max(scores: NDArray[np.float32], there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scales each user's scores to 0–1; all 0 where they are equal."""
    low = np.where(there, scores, np.inf).min(1, keepdims=True)
    high = np.where(there, scores, -np.inf).max(1, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    scaled = (scores - np.where(np.isfinite(low), low, 0.0)) / span
    return np.where(there, scaled, 0.0).astype(np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scales (…, d) vectors to length 1; a zero vector stays zero, similar to nothing."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1.0)).astype(np.float32)
