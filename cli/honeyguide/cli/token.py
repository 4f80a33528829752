"""Adds the verb ``token``: makes what a caller shows to a server that lets in only those it knows."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds ``token`` to the command."""
    verbs = typer.Typer(no_args_is_help=True, help="Makes tokens for those who call a server.")
    verbs.callback()(_group)
    verbs.command("new")(make_token)
    app.add_typer(verbs, name="token")


def _group() -> None:
    """Makes tokens for those who call a server."""


def make_token(
    name: Annotated[str, typer.Option(help="The caller: lower-case letters, digits, _ and -.")],
    roles: Annotated[
        str, typer.Option(help="What it may do, separated by commas: recommend, record, history, admin.")
    ] = "recommend",
    days: Annotated[int, typer.Option(min=0, max=36_500, help="Days until it expires, 0–36,500. 0: it does not.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print token and lines as JSON.")] = False,
) -> None:
    """Makes a token. It is shown once, on standard error; the lines for the server's file go to standard output.

    Example: honeyguide token new --name shop --roles recommend,record >> tokens.toml
    """
    from datetime import UTC, datetime, timedelta

    from honeyguide.cli.output import command_line, print_json, print_line, print_next, print_note
    from honeyguide.sdk.errors import InvalidArgument
    from honeyguide.sdk.names import NAME_PATTERN
    from honeyguide.server.access.roles import ROLES
    from honeyguide.server.access.tokens import new_token

    if not NAME_PATTERN.fullmatch(name):
        raise InvalidArgument("name", name, "lower-case letters, digits, _ and -, a letter first, 64 at most")
    given = [role.strip() for role in roles.split(",")]
    if unknown := [role for role in given if role not in ROLES]:
        raise InvalidArgument("roles", unknown[0], ", ".join(ROLES))
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) if days else None
    made = new_token()
    lines = made.to_toml(name, given, expires)
    if json:
        print_json({"name": name, "token": made.token, "sha256": made.sha256, "toml": lines})
        return
    print_line(lines)
    print_note("token, shown this once", made.token, "green")
    print_next(command_line("serve", tokens="tokens.toml"))
