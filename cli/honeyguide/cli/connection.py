"""What every verb that talks to a server shares: the option ``--server`` and the client behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from honeyguide.client import Client

__all__ = ["DEFAULT_SERVER", "JsonOption", "ServerOption", "at", "connect", "words"]

DEFAULT_SERVER = "127.0.0.1:50051"
"""Where ``honeyguide serve`` listens unless told otherwise."""

ServerOption = Annotated[
    str, typer.Option("--server", envvar="HONEYGUIDE_SERVER", metavar="HOST:PORT", help="Address of the server.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def connect(server: str, timeout: float = 5.0) -> Client:
    """Opens a client; nothing is sent yet."""
    from honeyguide.client import Client

    return Client(server, timeout=timeout)


def at(server: str) -> str:
    """Returns the option that leads a further command to the same server; "" where that is the default."""
    return "" if server == DEFAULT_SERVER else f" --server {server}"


def words(given: list[str] | None) -> list[str]:
    """Takes ids given as a repeated option, separated by commas, or both."""
    return [word.strip() for text in given or () for word in text.split(",") if word.strip()]
