"""What verbs share: the flags that say which server is asked, as whom and how; ``--json``; the client."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from honeyguide.client import Client

__all__ = ["DEFAULT_SERVER", "LOCAL", "JsonOption", "ServerFlags", "asks_server", "hand_down"]

DEFAULT_SERVER = "127.0.0.1:50051"
"""Where ``honeyguide serve`` listens unless told otherwise."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_VARIABLE = "HONEYGUIDE_SERVER"
_BARE = "; it should hold the token alone, as `honeyguide token new` prints it (hg_…), not a table of callers"


@dataclass(frozen=True, kw_only=True)
class ServerFlags:
    """Which server a verb asks, as whom and how; each field is a flag."""

    server: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the server.")] = DEFAULT_SERVER
    token_file: Annotated[
        Path | None,
        typer.Option(help="File of the token that says who calls.", show_default="the variable HONEYGUIDE_TOKEN"),
    ] = None
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS; the flags below imply it.")] = False
    tls_ca: Annotated[
        Path | None,
        typer.Option(help="PEM file of the authorities that sign its certificate.", show_default="the public ones"),
    ] = None
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file of our own certificate, for mutual TLS.")] = (
        None
    )
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of that certificate's private key.")] = None
    insecure: Annotated[bool, typer.Option("--insecure", help="Let the token go to another machine in plain text.")] = (
        False
    )

    def connect(self, timeout: float = 5.0) -> Client:
        """Opens a client; nothing is sent yet."""
        # gRPC writes a line to standard error for each handshake that fails; it reads this when it is loaded.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from honeyguide.client import Client, Tls

        speaks_tls = self.tls or self.tls_ca or self.tls_certificate or self.tls_key
        tls = Tls(self.tls_ca, self.tls_certificate, self.tls_key) if speaks_tls else None
        return Client(self.server, timeout=timeout, token=self._token(), tls=tls, insecure=self.insecure)

    def again(self) -> dict[str, object]:
        """Returns the options that a further command must name."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value not in (None, False, DEFAULT_SERVER)}

    def _token(self) -> str | None:
        if self.token_file is None:
            return None
        try:
            token = self.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or f"it is no plain text{_BARE}"
            raise typer.BadParameter(f"{self.token_file} cannot be read: {why}", param_hint="--token-file") from error
        if not token:
            raise typer.BadParameter(f"{self.token_file} is empty{_BARE}", param_hint="--token-file")
        if not token.isprintable() or " " in token:
            raise typer.BadParameter(f"{self.token_file} holds more than a token{_BARE}", param_hint="--token-file")
        return token


LOCAL = ServerFlags()
"""What holds where no flag is given."""


def asks_server(verb: Callable[..., Any], *, in_group: bool = False) -> Callable[..., Any]:
    """Gives a verb the flags of `ServerFlags` in the place of its argument ``server``.

    Args:
        verb: is called with keywords alone, ``server`` among them.
        in_group: whether a group reads the environment and hands down what it was told.
    """
    own, hints = inspect.signature(verb), get_type_hints(verb, include_extras=True)
    flags = get_type_hints(ServerFlags, include_extras=True)
    if not in_group:
        kind, option = flags["server"].__origin__, flags["server"].__metadata__[0]
        told = typer.Option(envvar=_VARIABLE, metavar=option.metavar, help=option.help)
        flags["server"] = Annotated[kind, told]
    defaults = {field.name: field.default for field in fields(ServerFlags)}
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        if parameter.name != "server":
            hint = hints[parameter.name]  # what typer reads; the source's is text
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint))
            continue
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=flag)
            for name, flag in flags.items()
        ]

    @functools.wraps(verb)
    def run(**given: Any) -> Any:
        server = ServerFlags(**{name: given.pop(name) for name in defaults})
        return verb(server=server, **given)

    del run.__wrapped__  # typer reads this one
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {name: hint for name, hint in hints.items() if name != "server"} | flags
    return run


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
