"""Defines the contract of a rule: what reorders or drops ranked candidates, used by name in a pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.history import HistoryBatch
from honeyguide.sdk.items import Categories

__all__ = ["RankedCandidates", "Rule"]


@dataclass(frozen=True, slots=True)
class RankedCandidates:
    """Ranked candidates of a batch of users, best first."""

    rows: NDArray[np.int32]
    """(batch, n) catalogue rows, -1 where there are fewer."""
    scores: NDArray[np.float32]
    """(batch, n) scores, descending; -inf where rows is -1."""
    item_vectors: NDArray[np.float32]
    """(items, d) the first retriever's item vectors; may be memory-mapped, never changed. d is 0 where it has none,
    since it scores the whole catalogue."""
    history: HistoryBatch
    """(batch) what the users did; some may be empty."""
    categories: Categories
    """The catalogue's categories."""


class Rule(ABC):
    """Reordering of ranked candidates. Built once, then called from several threads: it keeps no state."""

    name: ClassVar[str]
    """The rule's name in a pipeline."""
    Config: ClassVar[type[Any]]
    """A frozen dataclass, every field with a default."""
    needs_vectors: ClassVar[bool] = False
    """Whether it reads item vectors: it is refused over a model that has none."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def apply(self, ranking: RankedCandidates, k: int) -> NDArray[np.intp]:
        """Returns (batch, m) places in ``ranking`` in the new order, -1 to drop; the server keeps the first k.

        Places where ``rows`` is -1 must stay behind or be dropped; no place may appear twice in a row.
        """
