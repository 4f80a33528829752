"""Keeps events on their way to a data set, and accounts for those that are dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Events", "GrowingColumn", "Ledger"]


@dataclass(slots=True)
class Events:
    """Events as columns of equal length, one numpy array each: filtering one at a time needs little memory."""

    columns: dict[str, NDArray[Any]]
    """row (uint32, the place in the source), user, item (uint32 codes), and of time_ms (int64), event_type (uint32
    code), dwell_seconds, clicks, quantity, value (float32, NaN missing) those that the data has."""
    ids: Mapping[str, pl.Series]
    """What the codes of user, item, event_type stand for; a code past the end stands for none."""
    row_name: Callable[[int], str] = "row {}".format
    """Names the row at a place of the source, such as "row 17"."""

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
        shown = {name: values[at] for name, values in self.columns.items()}
        for name in self.ids.keys() & shown:
            shown[name] = self.ids[name][int(shown[name])] if shown[name] < len(self.ids[name]) else None
        row = self.row_name(int(shown.pop("row")))
        texts = {name: f"{v:.7g}" if isinstance(v, np.floating) else v for name, v in shown.items()}
        return f"{row}: " + ", ".join(f"{name}={v}" for name, v in texts.items())


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
    unmet: int = 0
    """Of those dropped, events that do not meet a condition that was asked for."""
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
