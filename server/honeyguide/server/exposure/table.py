"""Makes rows of the exposure log out of answers, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl

from honeyguide.server.bundles.catalogue import ItemNames
from honeyguide.server.exposure.shown import Shown
from honeyguide.server.ops.pseudonyms import Pseudonyms
from honeyguide.server.serving.queries import ItemSource

__all__ = ["SCHEMA", "ExposureTable"]

_SOURCE_NAMES = [source.name for source in ItemSource]
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "time": pl.Datetime("ms", "UTC"),
    "request_id": pl.String,
    "user": pl.String,
    "pipeline": pl.String,
    "arm": pl.String,
    "propensity": pl.Float32,
    "models": pl.List(pl.String),
    "degraded_reasons": pl.List(pl.String),
    "item_ids": pl.List(pl.String),
    "scores": pl.List(pl.Float32),
    "sources": pl.List(pl.Enum(_SOURCE_NAMES)),
}
SCHEMA = pl.Schema(_COLUMNS)
"""A row is one answer, its items in the order in which they were shown.

user: keyed hash; null: anonymous. arm and propensity: null where no arm was drawn. models: "name/version", retrieval
first.
"""
_SOURCES = pl.Series([None, *_SOURCE_NAMES], dtype=pl.Enum(_SOURCE_NAMES))  # their numbers begin at 1


class ExposureTable:
    """Maker of tables; it keeps the ids of each catalogue as long as that is served."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self._ids: WeakKeyDictionary[ItemNames, pl.Series] = WeakKeyDictionary()

    def make(self, batches: Sequence[Shown]) -> pl.DataFrame:
        """Returns a row for each answer, as `SCHEMA` says; in any order."""
        alike: dict[tuple[object, ...], list[Shown]] = {}
        for shown in batches:
            answers = shown.answers
            key = (
                id(answers.catalogue),
                answers.models,
                answers.rows.shape[1],
                shown.pipeline,
                shown.arm,
                shown.propensity,
            )
            alike.setdefault(key, []).append(shown)
        return pl.concat([SCHEMA.to_frame(), *map(self._of_alike, alike.values())])

    def _of_alike(self, batches: Sequence[Shown]) -> pl.DataFrame:
        """Makes a table of answers with one catalogue, one width and one way to them: hardly anything for each row."""
        first, of = batches[0], self._pseudonyms.of
        users = [of(user_id) if user_id else None for shown in batches for user_id in shown.user_ids]
        counts = [len(shown.answers) for shown in batches]
        reasons = [shown.answers.reasons or ((),) * count for shown, count in zip(batches, counts, strict=True)]
        rows, scores, sources = (
            np.concatenate([getattr(shown.answers, name) for shown in batches])
            for name in ("rows", "scores", "sources")
        )
        width = rows.shape[1]
        lengths = np.concatenate([np.asarray(shown.answers.lengths) for shown in batches])

        def lists(flat: pl.Series) -> pl.Series:
            return flat.reshape((len(rows), width)).arr.to_list()

        columns = {
            "time": pl.Series(np.repeat([shown.time_ms for shown in batches], counts)),
            "request_id": pl.Series(list(chain.from_iterable(shown.request_ids for shown in batches)), dtype=pl.String),
            "user": pl.Series(users, dtype=pl.String),
            "degraded_reasons": _reasons(list(chain.from_iterable(reasons))),
            "item_ids": lists(self._item_ids(first.answers.catalogue).gather(rows.ravel())),
            "scores": lists(pl.Series(scores.ravel())),
            "sources": lists(_SOURCES.gather(sources.ravel())),
        }
        models = [f"{name}/{version}" for name, version in first.answers.models]
        constant = {
            "pipeline": pl.lit(first.pipeline),
            "arm": pl.lit(first.arm or None),
            "propensity": pl.lit(first.propensity),
            "models": pl.lit(pl.Series([models])).first(),
        }
        table = pl.DataFrame(columns).with_columns(**constant)
        if (lengths < width).any():  # what stands behind a user's last item means nothing
            shown_alone = pl.col("item_ids", "scores", "sources").list.head(pl.col("length"))
            table = table.with_columns(pl.Series("length", lengths)).with_columns(shown_alone)
        return table.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())

    def _item_ids(self, catalogue: ItemNames) -> pl.Series:
        if catalogue not in self._ids:
            self._ids[catalogue] = pl.Series(catalogue.item_ids(np.arange(len(catalogue), dtype=np.int32)))
        return self._ids[catalogue]


def _reasons(reasons: Sequence[Sequence[str]]) -> pl.Series:
    if not any(reasons):
        return pl.Series([[]], dtype=SCHEMA["degraded_reasons"]).new_from_index(0, len(reasons))
    return pl.Series(list(map(list, reasons)), dtype=SCHEMA["degraded_reasons"])
