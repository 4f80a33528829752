"""Shows a run data other than it was trained on, as far as it knows their items, and says how far that is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk import DataSpec
from honeyguide.sdk.errors import DataError
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.training.dataset import Dataset

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Known", "OtherData", "as_known"]


@dataclass(frozen=True, slots=True)
class Known:
    """How much of other data a run knows; the first of each pair is what it knows, the second all there is."""

    items_known: int
    items_total: int
    """Items of the data set."""
    users_known: int
    users_total: int
    """Users with targets; those of whose earlier events none is known are left out."""
    events_known: int
    events_total: int
    """Earlier events of the users who are asked about; the others are left out of their histories."""
    targets_known: int
    targets_total: int
    """Targets of these users; the others cannot be hit, and count as misses."""


@dataclass(frozen=True, slots=True)
class OtherData:
    """Data as a run knows them: rows are those of its own catalogue."""

    held_out: EvaluationSet
    """The users with targets; -1 is a target that the run does not know."""
    items: pl.DataFrame
    """The run's items, as `Dataset.items` holds them: what is told of them, and how popular they are, is the data's."""
    training: HistoryBatch
    """The data's training events with items that the run knows."""
    known: Known


def as_known(
    data: Dataset, part: str, spec: DataSpec, item_ids: pl.Series, run: Path, targets: str | None = None
) -> OtherData:
    """Translates one part of a data set by item ids; features are normalised as in the run's training.

    Args:
        data: the other data.
        part: "validation" or "test".
        spec: of the data that the run was trained on.
        item_ids: (items,) the run's.
        run: its folder, for messages.
        targets: as in `Dataset.evaluation`.

    Raises:
        DataError: the data lack a column that the run reads, or it knows none of their targets or of the events before.
    """
    needed = {"time_ms": spec.has_time, "event_type": bool(spec.event_types)} | {f.name: True for f in spec.features}
    if missing := [name for name, reads in needed.items() if reads and name not in data.events.columns]:
        raise DataError(
            f"data set {data.name!r} lacks {', '.join(missing)}, which the model in {run} reads",
            remedy="prepare the log again with a column for each, or train on this data set",
        )
    rows = _rows(data.items["item_id"], item_ids)  # (items of the data,), from spec.items on where unknown
    items = pl.DataFrame({"item_id": item_ids}).join(
        data.items.select("item_id", "title", "categories", "popularity"),
        on="item_id",
        how="left",
        maintain_order="left",
    )
    translated = Dataset(
        name=data.name,
        spec=dataclasses.replace(spec, items=len(item_ids) + data.items.height),
        split=data.split,
        targets=data.targets,
        events=data.events.with_columns(pl.Series("item", rows[data.events["item"].to_numpy()])),
        users=data.users,
        items=items.with_columns(pl.col("popularity").fill_null(0), pl.col("title").fill_null("")),
    )
    everything = translated.evaluation(part, targets)
    histories = everything.histories.only(everything.histories.items < spec.items)
    users = np.flatnonzero(histories.lengths)
    held_out = dataclasses.replace(
        everything,
        histories=histories,
        target_items=np.where(everything.target_items < spec.items, everything.target_items, -1).astype(np.int32),
    ).take(users)
    known = Known(
        items_known=int((rows < spec.items).sum()),
        items_total=len(rows),
        users_known=held_out.users,
        users_total=everything.users,
        events_known=len(held_out.histories.items),
        events_total=int(everything.histories.lengths[users].sum()),
        targets_known=int((held_out.target_items >= 0).sum()),
        targets_total=len(held_out.target_items),
    )
    if not known.targets_known:
        raise DataError(
            f"the model in {run} knows {known.items_known} of the {known.items_total} items of data set {data.name!r}, "
            "and of no user both a target and an event before it: there is nothing to compare",
            remedy="check that both were prepared with the same item ids, or train on this data set",
        )
    training = translated.training()
    return OtherData(held_out, translated.items, training.only(training.items < spec.items), known)


def _rows(ids: pl.Series, item_ids: pl.Series) -> NDArray[np.int32]:
    """Returns the row of each id in the run's catalogue, and behind that one for each that it does not know."""
    catalogue = pl.DataFrame({"id": item_ids}).with_row_index("row")
    known = pl.DataFrame({"id": ids}).join(catalogue, on="id", how="left", maintain_order="left")["row"]
    own = known.cast(pl.Int64).fill_null(-1).to_numpy()
    return np.where(own >= 0, own, len(item_ids) + np.arange(len(ids))).astype(np.int32)
