"""Decides which arm of a pipeline answers a user: always the same one, and each in proportion to its share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import log

__all__ = ["Arms", "Shares"]


@dataclass(frozen=True, slots=True)
class Shares:
    """Who answers in place of a pipeline, and who is asked besides."""

    arms: Mapping[str, float] = field(default_factory=dict)
    """Percent of the users, above 0, by the pipeline that answers them; the pipeline itself answers the rest."""
    shadows: tuple[str, ...] = ()
    """Pipelines that are asked the same, and whose answers nobody gets."""


class Arms:
    """Arms of one pipeline, by which its users are split."""

    def __init__(self, pipeline: str, shares: Shares) -> None:
        """Takes the pipeline's name, which salts the draw, and who answers for it."""
        self.pipeline, self.shadows = pipeline, shares.shadows
        rest = max(0.0, 100.0 - sum(shares.arms.values()))
        self._weights = {name: percent for name, percent in {pipeline: rest, **shares.arms}.items() if percent > 0}
        self.splits = len(self._weights) > 1 or pipeline not in self._weights
        """Whether anybody else than the pipeline answers."""

    def draw(self, key: str) -> str:
        """Returns the arm of a key, a user's id: the same each time, on every server.

        Weighted rendezvous hashing (Thaler & Ravishankar, IEEE/ACM Transactions on Networking 1998; with weights:
        Schindelhauer & Schomaker, SPAA 2005): each arm draws -ln(u) / share by a hash u of the key, the least wins. So
        when shares change, whoever moves leaves an arm that lost share or comes to one that gained some.
        """
        return min(self._weights, key=lambda arm: self._drawn(arm, key))

    def propensity(self, arm: str) -> float:
        """Returns the chance of an arm to be drawn, 0–1."""
        return self._weights.get(arm, 0.0) / sum(self._weights.values())

    def _drawn(self, arm: str, key: str) -> float:
        digest = blake2b(f"{self.pipeline}\0{arm}\0{key}".encode(), digest_size=8).digest()
        uniform = (int.from_bytes(digest) + 0.5) / 2**64  # never 0
        return -log(uniform) / self._weights[arm]
