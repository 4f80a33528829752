"""Puts the verbs together and turns errors into messages and exit codes.

Exit codes: 0 done; 1 a failure of ours; 2 wrong usage; 3 bad data, request or bundle; 4 some rows failed;
130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from honeyguide.cli.output import stderr

__all__ = ["build", "run"]

VERBS = (
    "prepare",
    "train",
    "evaluate",
    "export",
    "serve",
    "recommend",
    "record",
    "score",
    "models",
    "plugins",
    "events",
    "demo",
)
"""One module each, in the order of a model's life; each has ``add_to(app)`` and imports its heavy parts when called."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
"""A full disk: the writing fails, not the opening, and so no file is named."""


def build() -> typer.Typer:
    """Builds the command with all its verbs."""
    app = typer.Typer(
        name="honeyguide",
        help="Trains recommender models, exports them to ONNX + FAISS bundles, and serves them over gRPC.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_root)
    for verb in VERBS:
        import_module(f"honeyguide.cli.{verb}").add_to(app)
    return app


def _show_version(asked: bool) -> None:
    from importlib.metadata import version

    if asked:
        typer.echo(f"honeyguide {version('honeyguide')}")
        raise typer.Exit


def _root(
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and stop.")
    ] = False,
) -> None:
    """Trains recommender models, exports them to ONNX + FAISS bundles, and serves them over gRPC."""


def run() -> None:
    """Runs the command; exits with a code scripts can trust."""
    # OpenMP reads this when it is loaded, as by torch and FAISS; `honeyguide.training` says what it is worth.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        build()()
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "honeyguide":
            raise
        stderr.print(f"[red]error:[/] this verb needs {error.name}: pip install 'honeyguide\\[all]'")
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise  # no file of the user's
        where = "" if error.filename is None else f"{error.filename}: "
        stderr.print("[red]error:[/] ", end="")
        stderr.print(f"{where}{error.strerror}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except Exception as error:  # boundary: the user's terminal
        if not _ours(error):
            raise
        stderr.print("[red]error:[/] ", end="")
        stderr.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2 if type(error).__name__ == "InvalidArgument" else 3)


def _ours(error: Exception) -> bool:
    """Whether the error is one we raise on purpose; a bug keeps its traceback."""
    return any(c.__name__ in ("HoneyguideError", "HoneyguideClientError") for c in type(error).__mro__)
