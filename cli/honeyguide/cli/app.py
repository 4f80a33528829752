"""Puts the verbs together, and ends every command with an exit code that scripts can trust."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import typer

from honeyguide.cli.failures import STANDARD_OUTPUT, ExitCode, describe_error, error_code, in_words, write_traceback
from honeyguide.cli.output import print_json, print_note, print_warning, stderr

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
    "items",
    "keys",
    "plugins",
    "events",
    "token",
    "demo",
)
"""One module each, in the order of a model's life; each has ``add_to(app)`` and imports its heavy parts when called."""


def build() -> typer.Typer:
    """Builds the command with all its verbs."""
    app = typer.Typer(
        name="honeyguide",
        help="Trains recommender models, exports them to ONNX + FAISS bundles, and serves them over gRPC.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
    )
    app.callback(epilog="\n\n".join(["Exit codes:", *(f"{code.value}: {code.meaning}" for code in ExitCode)]))(_root)
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


def run(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits: with its code, or with an error's after saying what is wrong.

    Args:
        arguments: what stands behind ``honeyguide``; None: what this process was given.
    """
    # OpenMP reads this when it is loaded, as by torch and FAISS; `honeyguide.training` says what it is worth.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.showwarning = _show_warning
    given = list(sys.argv[1:] if arguments is None else arguments)
    with redirect_stdout(cast("TextIO", _StandardOutput(sys.stdout))):
        try:
            code = build()(given, prog_name="honeyguide", standalone_mode=False) or 0
            sys.stdout.flush()  # now rather than at the interpreter's end, where nobody could say what is wrong
        except SystemExit as stop:  # typer's and rich's answer to a closed pipe, and completion's end
            code = ExitCode.CLOSED if isinstance(stop.__context__, BrokenPipeError) else stop.code
        except BaseException as error:  # boundary: the user's terminal
            code = _fail(error, given)
        if code == ExitCode.CLOSED:
            _give_up_stdout()
    sys.exit(code)


class _StandardOutput:
    """Standard output, whose faults say that they are its own; letters that it cannot write are escaped."""

    def __init__(self, stream: TextIO | None) -> None:
        """Takes the real one; None where the caller closed it, and so wants nothing of it."""
        self._stream = stream or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # open to the end
        if isinstance(self._stream, TextIOWrapper):
            self._stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _named():
            return self._stream.write(text)

    def flush(self) -> None:
        with _named():
            self._stream.flush()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = STANDARD_OUTPUT
        raise


def _fail(error: BaseException, arguments: Sequence[str]) -> int:
    """Says what is wrong, on standard error and, with ``--json``, as one object on standard output."""
    code = error_code(error, arguments)
    if code in (ExitCode.INTERRUPTED, ExitCode.CLOSED):
        return code
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]  # typer's own: the help
        return ExitCode.USAGE
    text = in_words(error, arguments)
    if getattr(error, "filename", None) == STANDARD_OUTPUT:
        _give_up_stdout()
    elif "--json" in arguments:
        try:
            print_json(describe_error(error, text, code))
            sys.stdout.flush()
        except OSError:  # standard error must do
            _give_up_stdout()
    if text is None:
        stderr.print("".join(traceback.format_exception(error)), soft_wrap=True)
        text = "this is a fault of Honeyguide: please report it with the lines above"
    elif file := write_traceback(error):
        text += f"\n  traceback: {file}"
    elif code == ExitCode.USAGE and (context := getattr(error, "ctx", None)) is not None:
        text += f"\n  remedy: see `{context.command_path} --help`"
    print_note("error", text, "red")
    return code


def _give_up_stdout() -> None:
    """Lets what is left in the buffer go nowhere, or the interpreter would complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print_warning(str(message))
