"""Says what a pipeline is asked and what it answers, in plain values: neither messages nor arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from honeyguide.server.bundles.catalogue import ItemFilter
from honeyguide.server.serving.histories import UserInput, UserState

__all__ = ["Answer", "ItemSource", "RankQuery", "RecommendQuery", "SimilarQuery"]


class ItemSource(IntEnum):
    """Where an answered item comes from; the numbers are those of the proto."""

    RETRIEVED = 1
    POPULAR = 2
    CANDIDATE = 3
    NEW = 4


@dataclass(slots=True)  # not frozen, as one is made for every request: that takes four times as long
class RecommendQuery:
    """Question for the best items for one user."""

    user: UserInput
    k: int = 10
    """1–1,000."""
    drop_seen: bool | None = None
    """None: as the pipeline does."""
    filter: ItemFilter | None = None
    explain: bool = False
    """Whether the answer says why: `Answer.because_items`."""
    deadline: float = math.inf
    """When nobody waits any more, on the clock `monotonic`; infinite: not known."""


@dataclass(slots=True)  # as above
class RankQuery:
    """Question for the scores of the caller's candidates for one user."""

    user: UserInput
    item_ids: Sequence[str]
    """Distinct."""
    deadline: float = math.inf
    """When nobody waits any more, on the clock `monotonic`; infinite: not known."""


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """Question for the items nearest to one item."""

    item_id: str
    k: int = 10
    filter: ItemFilter | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to one query; the columns are equally long, best first."""

    models: tuple[tuple[str, int], ...]
    """Name and version of the bundles that took part, retrieval first."""
    source_model: str
    """Name of the model whose scores these are, but for the popular items."""
    item_ids: list[str]
    scores: list[float]
    sources: list[int]
    titles: list[str]
    because_items: Sequence[tuple[tuple[str, str], ...]] = ()
    """By item, id and title of the items of the history that carried it, most important first; empty unless asked for
    and known."""
    user_state: UserState = UserState.ANONYMOUS
    unknown_history_items: int = 0
    unknown_item_ids: tuple[str, ...] = ()
    """Candidates of a `RankQuery` that the catalogue lacks."""
    unknown_categories: tuple[str, ...] = ()
    """Of the filter's categories, those that no item has."""
    degraded_reasons: tuple[str, ...] = ()
    """Why a part of the pipeline did not run, UPPER_SNAKE; empty when all did."""
