"""Settings of the door for browsers and plain HTTP clients."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

__all__ = ["WebSettings"]

_Origin = Annotated[str, Field(pattern=r"^(\*|https?://[a-z0-9.\-\[\]:]+)$", max_length=300)]


def _split(given: object) -> object:
    """Reads what a flag or the environment gives: origins with commas between them."""
    return [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given


class WebSettings(BaseModel):
    """Where the rpcs are answered as JSON, Connect and gRPC-Web, and to whose pages."""

    web_port: int = Field(
        default=-1,
        ge=-1,
        le=65_535,
        description="Port of JSON, Connect and gRPC-Web over HTTP/1.1, -1–65,535; with TLS where the gRPC port has it. "
        "0: any free one, with one process alone; -1: none.",
    )
    web_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address that web_port listens on. 0.0.0.0: every interface."
    )
    web_origins: Annotated[tuple[_Origin, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(),
        max_length=100,
        description="Origins of the pages that may call web_port from a browser, as https://shop.example, in lower "
        "case, without a path or a final slash, with commas between them or as a list; at most 100; *: every page. "
        "None: no page may, other programs may.",
    )
