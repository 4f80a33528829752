"""Settings of what the server writes down of calls: the audit log, and how users are named there."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

__all__ = ["RecordSettings"]


class RecordSettings(BaseModel):
    """Where calls that change or erase something are written down."""

    audit_log: Path | None = Field(
        default=None,
        description="File of JSON lines, one for each call that changes what is served or erases a user; it may be "
        "renamed meanwhile. While it cannot be written such calls are refused. Unset: none.",
    )
    log_key: Path | None = Field(
        default=None,
        description="File of 16–64 bytes with which users are hashed in it: `openssl rand -hex 32`. Unset: with "
        "a key of this start alone, each process its own, so that a user's lines do not join.",
    )
