"""Keeps account of what was read, dropped and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Ledger"]


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

    def drop(self, frame: pl.DataFrame, bad: NDArray[np.bool_] | pl.Series, reason: str) -> pl.DataFrame:
        """Returns the frame without its bad rows, which are counted under ``reason``."""
        mask = bad if isinstance(bad, pl.Series) else pl.Series(bad)
        count = int(mask.sum())
        if not count:
            return frame
        self.counts[reason] = self.counts.get(reason, 0) + count
        if reason not in self.examples:
            first = mask.arg_true()[0]
            row = frame.row(first, named=True)
            self.examples[reason] = f"row {row.pop('row')}: " + ", ".join(
                f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()
            )
        return frame.filter(~mask)

    def to_dict(self) -> dict[str, Any]:
        """Returns the account, ready for JSON."""
        dropped = [
            {"reason": reason, "events": count, "example": self.examples[reason]}
            for reason, count in self.counts.items()
        ]
        return {"read": self.read, "dropped": dropped, "kept": self.kept}
