"""Settings of the store of events: where it is, how long it keeps what, and whether it knows who the users are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

__all__ = ["EventSettings"]


def _as_text(given: object) -> object:
    """Takes a path as its text."""
    return str(given) if isinstance(given, Path) else given


class EventSettings(BaseModel):
    """Store of events."""

    events: Annotated[str, BeforeValidator(_as_text)] = Field(
        default="events.db",
        min_length=1,
        description="SQLite file of the events, made when missing; or postgresql://USER:PASSWORD@HOST/DATABASE, which "
        "several servers may share.",
    )
    events_keep_days: float = Field(
        default=0.0,
        ge=0,
        le=36_500,
        description="Days after which an event is deleted, 0–36,500, by its time and the server's clock. 0: never.",
    )
    events_keep_per_user: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="Newest events of each user that are kept, 0–1,000,000,000; older ones are deleted. 0: all.",
    )
    events_user_keys: Path | None = Field(
        default=None,
        description="File of keys of 16–64 bytes, one a line, with which users are hashed before they are stored, so "
        "that neither file nor exports name them: `openssl rand -hex 32`. The first writes, all are looked up. Unset: "
        "users are stored as they are called.",
    )
