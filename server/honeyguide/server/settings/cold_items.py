"""Settings of the items that are added while the server runs."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

__all__ = ["ColdItemSettings"]


class ColdItemSettings(BaseModel):
    """Items that no model met in training."""

    cold_items: Path = Field(
        default=Path("items.db"),
        description="SQLite file of the items that UpsertItems adds, made with the first one.",
    )
    max_cold_items: int = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="Items that may be added, 0–1,000,000; all of them are scored for each user.",
    )
