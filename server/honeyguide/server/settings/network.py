"""Settings of what the server listens on, and of its connections."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

__all__ = ["NetworkSettings"]


class NetworkSettings(BaseModel):
    """Where the server listens, what carries calls, and how long a connection may live."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on. 0.0.0.0: every interface; unix:PATH: a Unix socket.",
    )
    port: int = Field(default=50051, ge=0, le=65_535, description="gRPC port, 0–65,535. 0: any free one.")
    transport: Literal["auto", "native", "grpcio"] = Field(
        default="auto",
        description="What carries calls: native, the fastest, over a front in Rust that has neither TLS nor limits on "
        "messages; grpcio; or auto: native where it can be had and only this machine can connect.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of the server's certificate chain. Unset: no TLS."
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file of the authorities of clients' certificates: without one of theirs, none connects. "
        "Unset: clients need no certificate.",
    )
    max_concurrent_streams: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Calls that one connection may have open, 1–1,000,000; clients hold back what is more.",
    )
    max_connection_age_seconds: float = Field(
        default=0.0, ge=0, le=1e9, description="Seconds after which a connection is asked to end, 0–1e9. 0: never."
    )
    max_connection_idle_seconds: float = Field(
        default=0.0,
        ge=0,
        le=1e9,
        description="Seconds without a call after which a connection is closed, 0–1e9. 0: never.",
    )
    keepalive_seconds: float = Field(
        default=60.0,
        ge=0.1,
        le=2e6,
        description="Seconds without traffic after which a connection is asked whether it is still there, 0.1–2e6.",
    )
    keepalive_timeout_seconds: float = Field(
        default=20.0, ge=0.1, le=2e6, description="Seconds until one that does not answer is closed, 0.1–2e6."
    )
    min_ping_seconds: float = Field(
        default=0.0,
        ge=0,
        le=2e6,
        description="Seconds that a client must leave between two pings of its own, 0–2e6. 0: 5 on grpcio, and on "
        "native as it likes.",
    )
