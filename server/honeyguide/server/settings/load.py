"""Settings of how much is computed at once, and of how much may wait."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["LoadSettings"]


class LoadSettings(BaseModel):
    """Batches, threads and queues."""

    processes: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes that answer on the one port, 1–256; each takes memory for its own copy of the models. "
        "Beside threads they share no interpreter, so they answer more where calls are many.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Threads that compute, of all processes together, 0–1,024. 0: one for each core that affinity and "
        "cgroup quota allow.",
    )
    max_batch_rows: int = Field(default=64, ge=1, le=4096, description="Users computed in one batch at most, 1–4,096.")
    max_queue_rows: int = Field(
        default=2048, ge=1, le=1_000_000, description="Users waiting at most, 1–1,000,000; above it calls are refused."
    )
    max_queue_seconds: float = Field(
        default=0.2,
        gt=0,
        le=3600,
        description="Seconds that a call waits at most, above 0 to 3,600; what would wait longer is refused at once.",
    )
    max_write_seconds: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="Seconds that events wait for the disk at most, above 0 to 3,600; as above. A disk that is busy, "
        "with an import or a long deletion, takes so long now and then.",
    )
    max_open_streams: int = Field(
        default=1024, ge=1, le=1_000_000, description="Streams open at the same time, 1–1,000,000; above it refused."
    )
