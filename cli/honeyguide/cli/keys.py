"""Adds the verb ``keys``: makes the keys that sign bundles."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds ``keys`` and its sub-verb to the command."""
    group = typer.Typer(help="Makes keys that sign bundles.", no_args_is_help=True)
    group.callback()(keys)
    group.command()(new)
    app.add_typer(group, name="keys")


def keys() -> None:
    """Makes the keys that sign bundles, so that a server serves no others.

    Example: honeyguide keys new release --key-file release.pem >> trusted-keys.toml
    """


def new(
    name: Annotated[str, typer.Argument(help="What servers call it: letters, digits, _ and -.")],
    key_file: Annotated[
        Path | None, typer.Option(help="Where the private key is written.", show_default="NAME.pem")
    ] = None,
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day it is believed.", show_default="no end")
    ] = None,
) -> None:
    """Writes a new private key (Ed25519) and prints its entry for the file of trusted keys.

    Example: honeyguide keys new release --expires 2027-12-31 >> trusted-keys.toml
    """
    from honeyguide.cli.output import print_line, print_note
    from honeyguide.sdk.signatures import new_key

    file = key_file or Path(f"{name}.pem")
    print_line(new_key(name, file, expires.date() if expires else None))
    print_note("private key", f"{file}; keep it where bundles are exported, and nowhere else", "green")
