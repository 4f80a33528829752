"""Settings of whose bundles are served."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

__all__ = ["TrustSettings"]


class TrustSettings(BaseModel):
    """Signatures of bundles."""

    trusted_keys: Path | None = Field(
        default=None,
        description="TOML file of the keys whose signatures are believed; read again whenever a bundle is loaded.",
    )
    require_signature: bool = Field(
        default=False, description="Whether a bundle serves only when a trusted key has signed it."
    )
