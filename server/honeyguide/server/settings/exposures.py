"""Settings of the exposure log: what was shown to whom."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

__all__ = ["ExposureSettings"]


class ExposureSettings(BaseModel):
    """Where exposures go, how often a file of them is closed, and how long it is kept."""

    exposures: Path | None = Field(
        default=None,
        description="Folder for Parquet files of what was shown to whom; made when missing. Unset: nothing is written.",
    )
    exposures_key: Path | None = Field(
        default=None,
        description="File of 16–64 bytes with which the users in them are hashed: `openssl rand -hex 32`.",
    )
    exposures_seconds: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Seconds after which a file is closed and can be read, 1–3,600; a server that is killed loses "
        "what it has not closed.",
    )
    exposures_keep_days: float = Field(
        default=0.0, ge=0, le=36_500, description="Days after which a file is deleted, 0–36,500. 0: never."
    )
