"""Setting of where it is kept who answers for whom."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

__all__ = ["TrafficSettings"]


class TrafficSettings(BaseModel):
    """What becomes of the arms that are set while the server runs."""

    traffic: Path = Field(
        default=Path("traffic.json"),
        description="File of the arms that SetTraffic set, made by the first one; it holds over the settings' arms.",
    )
