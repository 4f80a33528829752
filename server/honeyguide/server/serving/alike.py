"""Groups queries that cost about the same, so that nobody waits for a batch-mate that asked for much more."""

from __future__ import annotations

from collections.abc import Sequence

from honeyguide.server.serving.queries import RecommendQuery

__all__ = ["USUAL_K", "alike"]

USUAL_K = 100
"""Items that cost a caller's batch-mates nothing worth mentioning."""
_SMALL_FILTER = 256
"""Entries of a filter that costs batch-mates nothing worth mentioning."""


def alike(queries: Sequence[RecommendQuery], usual: int) -> list[list[int]]:
    """Groups the places of queries that cost about the same, and that explain or do not, the lightest first.

    Up to ``usual`` items cost alike.
    """
    heavy = {
        place: _weight(query, usual)
        for place, query in enumerate(queries)
        if query.filter is not None or query.explain or query.k > usual
    }
    light = [place for place in range(len(queries)) if place not in heavy]
    if not heavy:  # as it mostly is
        return [light]
    return [light, *([place for place, own in heavy.items() if own == weight] for weight in sorted({*heavy.values()}))]


def _weight(query: RecommendQuery, usual: int) -> tuple[int, ...]:
    """Returns what a query costs, roughly: those of equal weights are answered together."""
    depth = 0 if query.k <= usual else query.k.bit_length()
    limit = query.filter
    if limit is None:
        return query.explain, depth, 0, 0
    small = len(limit.exclude) + len(limit.allow) + len(limit.any_categories) <= _SMALL_FILTER
    return query.explain, depth, 1, 0 if small else id(limit)
