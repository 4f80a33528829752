"""Holds the events on their way to a data set, and accounts for those that are dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Events", "Ledger"]


@dataclass(slots=True)
class Events:
    """Holds events as columns of equal length, one numpy array each: filtering one at a time needs little memory."""

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


@dataclass(slots=True)
class Ledger:
    """Counts dropped events by reason, with one example each."""

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
