"""What verbs share: the options ``--server`` and ``--json``, and the client behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from honeyguide.client import Client

__all__ = ["DEFAULT_SERVER", "JsonOption", "ServerOption", "connect", "elsewhere", "hand_down"]

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


def elsewhere(server: str) -> str | None:
    """Returns the address that a further command must name; None where that is the default."""
    return None if server == DEFAULT_SERVER else server


def hand_down(context: typer.Context) -> None:
    """Gives what a group of verbs was told, as in ``models --server X unload Y``, to the verb that follows.

    A verb that has no such option would let it go unheard: that is refused.
    """
    verb = str(context.invoked_subcommand)
    known = {parameter.name for parameter in context.command.commands[verb].params}  # type: ignore[attr-defined]  # a group's
    given = {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"}  # type: ignore[union-attr]  # each has one
    if unheard := sorted(given - known):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in unheard)
        raise typer.BadParameter(f"`{context.command_path} {verb}` has no such option", param_hint=flags)
    context.default_map = {verb: {name: value for name, value in context.params.items() if name in known}}
