"""Turns the filters of queries into what a search may find, and into what they asked for in vain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honeyguide.server.bundles.catalogue import Catalogue, ItemFilter
from honeyguide.server.bundles.retrieval import Limits
from honeyguide.server.cold_items.segment import Segment

__all__ = ["limits_of", "unknown_categories"]


def unknown_categories(
    catalogue: Catalogue, filters: Sequence[ItemFilter | None], segment: Segment | None = None
) -> list[tuple[str, ...]] | tuple[()]:
    """Returns by user the filter's categories that no item has, neither the catalogue's nor the segment's."""
    if not any(filters):
        return ()
    unknown = {id(limit): catalogue.unknown_categories(limit) for limit in filters}
    if segment is not None:
        added = {id(limit): segment.catalogue.unknown_categories(limit) for limit in filters}
        unknown = {own: tuple(name for name in names if name in added[own]) for own, names in unknown.items()}
    return [unknown[id(limit)] for limit in filters]


def limits_of(
    catalogue: Catalogue, items: int, filters: Sequence[ItemFilter | None], forbidden: NDArray[np.int64]
) -> Limits:
    """Adds the filters to what is forbidden; a filter that many users share is worked out once."""
    if not any(filters):
        return Limits(len(filters), items, forbidden)
    masks: list[NDArray[np.bool_]] = []
    mask_of = np.full(len(filters), -1, np.intp)
    keys = [forbidden]
    owners: dict[int, list[int]] = {}
    for user, limit in enumerate(filters):
        owners.setdefault(id(limit), []).append(user)
    for users in owners.values():
        if (limit := filters[users[0]]) is None:
            continue
        keys.append(np.add.outer(np.array(users) * np.int64(items), catalogue.excluded(limit)).ravel())
        if (mask := catalogue.allowed(limit)) is not None:
            mask_of[users] = len(masks)
            masks.append(mask)
    return Limits(len(filters), items, np.concatenate(keys), tuple(masks), mask_of)
