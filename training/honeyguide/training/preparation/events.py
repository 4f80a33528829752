"""Keeps events on their way to a data set, and accounts for those that are dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Events", "GrowingColumn", "IdCodes", "Ledger"]


@dataclass(slots=True)
class Events:
    """Events as columns of equal length, one numpy array each: filtering one at a time needs little memory."""

    columns: dict[str, NDArray[Any]]
    """row (uint32, from 1, a header included), user, item (uint32 codes), and of time_ms (int64), event_type (uint32
    code), dwell_seconds, clicks, quantity, value (float32, NaN missing) those that the data has."""
    ids: Mapping[str, pl.Series]
    """What the codes of user, item, event_type stand for."""

    def __len__(self) -> int:
        return len(self.columns["row"])

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def select(self, which: NDArray[Any]) -> None:
        """Keeps the events of a mask, or those at some places in their order."""
        for name in self.columns:
            self.columns[name] = self.columns[name][which]

    def show(self, at: int) -> str:
        """Returns one event as text."""
        shown = {name: self.ids[name][int(v[at])] if name in self.ids else v[at] for name, v in self.columns.items()}
        return f"row {shown.pop('row')}: " + ", ".join(f"{name}={value}" for name, value in shown.items())


class IdCodes:
    """Numbering of ids as they come, block by block; in the end they are put in order."""

    def __init__(self) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        self._new: list[pl.Series] = []  # each block's new ids; polars forgets a number that no series holds
        self._known = 0

    def __call__(self, ids: pl.Series) -> NDArray[np.uint32]:
        """Returns the numbers of a block's ids, from 0."""
        numbered = ids.cast(self._type)
        distinct = numbered.unique()
        new = distinct.filter(distinct.to_physical() >= self._known)
        if new.len():
            self._known += new.len()
            self._new.append(new)
        return numbered.to_physical().cast(pl.UInt32).to_numpy()

    def ids(self) -> pl.Series:
        """Returns the ids in order: shorter ones first, so that 9 stands before 10."""
        return self._table()["id"]

    def places(self) -> NDArray[np.uint32]:
        """Returns, by number, the place of an id in that order."""
        numbers = self._table()["number"].to_numpy()
        places = np.empty(len(numbers), np.uint32)
        places[numbers] = np.arange(len(numbers), dtype=np.uint32)
        return places

    def _table(self) -> pl.DataFrame:
        ids = pl.concat(self._new) if self._new else pl.Series([], dtype=self._type)
        table = pl.DataFrame({"number": ids.to_physical(), "id": ids.cast(pl.String)})
        return table.sort(pl.col("id").str.len_bytes(), "id")


class GrowingColumn:
    """Blocks of a column in one array, so that no second copy is ever held."""

    def __init__(self, dtype: np.dtype[Any], expected: int) -> None:
        self._values = np.empty(expected, dtype)  # pages that are never written to cost nothing
        self._count = 0

    def add(self, values: NDArray[Any]) -> None:
        """Puts values at the end."""
        end = self._count + len(values)
        if end > len(self._values):
            self._values.resize(end + end // 8, refcheck=False)  # fills with zeros: little more than needed
        self._values[self._count : end] = values
        self._count = end

    def done(self) -> NDArray[Any]:
        """Returns what was gathered."""
        self._values.resize(self._count, refcheck=False)
        return self._values


@dataclass(slots=True)
class Ledger:
    """Account of dropped events by reason, with one example each."""

    read: int = 0
    """Events read."""
    counts: dict[str, int] = field(default_factory=dict)
    """Events dropped, by reason, in the order the reasons came up."""
    examples: dict[str, str] = field(default_factory=dict)
    """The first dropped row, by reason."""

    @property
    def kept(self) -> int:
        """Events that were read and not dropped."""
        return self.read - sum(self.counts.values())

    def drop(self, events: Events, bad: NDArray[np.bool_], reason: str) -> None:
        """Takes bad events away and counts them under ``reason``."""
        if bad.any():
            self.note(reason, int(bad.sum()), events.show(int(bad.argmax())))
            events.select(~bad)

    def drop_rows(self, frame: pl.DataFrame, bad: pl.Series, reason: str) -> pl.DataFrame:
        """Returns a frame with a column ``row`` without its bad rows, which are counted under ``reason``."""
        if not bad.any():
            return frame
        row = frame.row(int(bad.arg_true()[0]), named=True)
        self.note(reason, int(bad.sum()), f"row {row.pop('row')}: " + ", ".join(f"{k}={v}" for k, v in row.items()))
        return frame.filter(~bad)

    def note(self, reason: str, count: int, example: str) -> None:
        """Counts events that were dropped."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        self.examples.setdefault(reason, example)

    def to_dict(self) -> dict[str, Any]:
        """Returns the account, ready for JSON."""
        dropped = [
            {"reason": reason, "events": count, "example": self.examples[reason]}
            for reason, count in self.counts.items()
        ]
        return {"read": self.read, "dropped": dropped, "kept": self.kept}
