"""Answers what is nearest to an item, by the cosine of item vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.sdk.errors import ItemNotFound
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.cold_items.placing import ColdItems
from honeyguide.server.serving.answers import Answers
from honeyguide.server.serving.filters import limits_of, unknown_categories
from honeyguide.server.serving.queries import ItemSource, SimilarQuery

__all__ = ["nearest_items"]


def nearest_items(
    bundle: RetrievingBundle, cold_items: ColdItems | None, queries: Sequence[SimilarQuery]
) -> tuple[list[int], Answers, dict[int, ItemNotFound]]:
    """Returns the places of the queries whose item is known, their answers, and by place the others' errors."""
    name, version = bundle.key
    catalogue, items = bundle.catalogue, len(bundle.catalogue)
    ids = [query.item_id for query in queries]
    rows = catalogue.rows(ids)
    new, segment = np.full(len(ids), -1, np.int32), None  # rows of the segment
    if (rows < 0).any() and cold_items is not None:
        segment = cold_items.segment(bundle)
    if segment is not None:
        new = segment.catalogue.rows(ids)  # it has what the catalogue lacks, and no more
    known = np.flatnonzero(np.maximum(rows, new) >= 0)
    asked = [queries[place] for place in known.tolist()]
    missing = {}
    for place in np.flatnonzero(np.maximum(rows, new) < 0).tolist():
        why = f"no item {ids[place]!r} in model {name!r}, version {version}"
        if cold_items is not None and ids[place] in cold_items:
            why = f"item {ids[place]!r} was added, and model {name!r}, version {version}, does not place it"
        missing[place] = ItemNotFound(why, "item_id", ids[place])
    ks, rows, new = np.array([query.k for query in asked], np.int64), rows[known], new[known]
    own = np.arange(len(known)) * np.int64(items) + rows  # an item is not its own neighbour
    filters = [query.filter for query in asked]
    limits = limits_of(catalogue, items, filters, own[rows >= 0])
    placed = None if segment is None else segment.vectors[new[new >= 0]]
    neighbours = bundle.similar(rows, limits, ks, placed)
    answers = Answers(
        catalogue=catalogue,
        models=(bundle.key,),
        source_model=name,
        rows=neighbours.rows,
        scores=neighbours.scores,
        sources=np.full(neighbours.rows.shape, ItemSource.RETRIEVED),
        lengths=np.minimum((neighbours.rows >= 0).sum(1), ks).tolist(),
        unknown_categories=unknown_categories(catalogue, filters),
    )
    return known.tolist(), answers, missing
