"""Adds the verb ``serve``: answers over gRPC from a repository of bundles."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["add_to"]

_OWN = ("callers", "pipelines")
"""The settings that are tables: they have no flags."""


def add_to(app: typer.Typer) -> None:
    """Adds the verb. Its flags are the server's settings, which are looked up when it is called."""
    app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(serve)


def serve(context: typer.Context) -> int:
    """Serves a repository of bundles over gRPC."""
    # Read when numpy is loaded, which the settings do. Batches are small: more threads of its BLAS gain little, and
    # where another process holds a core, they wait for each other through whole time slices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    verb = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    verb.command(epilog=_pipeline_settings())(_command())
    return int(verb(args=context.args, prog_name="honeyguide serve", standalone_mode=False) or 0)


def _command() -> Any:
    """Builds the command out of the settings: one flag each, with the setting's own words and default."""
    from honeyguide.server.settings import Settings, describe_settings

    def run(config: Path | None, **given: Any) -> None:
        """Serves a repository of bundles over gRPC, until Ctrl-C or SIGTERM.

        A flag overrides the environment (HONEYGUIDE_PORT …), which overrides the TOML file of --config.

        Example: honeyguide serve --repository demo/models --events demo/events.db
        """
        _serve(config, given)

    options: dict[str, Any] = {
        "config": Annotated[
            Path | None, typer.Option(help="TOML file of settings, pipelines among them.", show_default="none")
        ]
    }
    for row in describe_settings():
        if row.name in Settings.model_fields and row.name not in _OWN:
            annotation: Any = Settings.model_fields[row.name].annotation
            kind = bool if annotation is bool else str  # text is parsed by the settings, whose messages say more
            shown = {int: "<int>", float: "<number>", Path: "<path>", bool: None}.get(annotation, "<text>")
            flag = typer.Option(help=row.description, show_default=row.default, metavar=shown)
            options[row.name] = Annotated[kind | None, flag]
    run.__annotations__ = options
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in options.items()
        ]
    )
    return run


def _pipeline_settings() -> str:
    """Lists the settings that only the file or the environment can give, for the end of the help."""
    from honeyguide.server.settings import describe_settings

    rows = [row for row in describe_settings() if row.name.partition(".")[0] in _OWN]
    lines = [
        f"[bold]{row.name.replace('[', chr(92) + '[')}[/] (default {row.default}): {row.description}" for row in rows
    ]
    return "\n\n".join(["In the file or the environment only:", *lines])


def _serve(config: Path | None, given: dict[str, Any]) -> None:
    import asyncio

    import structlog

    # Threads that spin take the cores from the other batch; OpenMP reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # gRPC writes a line to standard error for each stranger who fails to shake hands; it reads this when it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from honeyguide.cli.output import stderr
    from honeyguide.server.ops.logs import configure_logs
    from honeyguide.server.settings import load_settings

    settings = load_settings(config, given)
    configure_logs(settings.log_level, settings.log_format)
    # What can be wrong is looked at before gRPC, FAISS and ONNX Runtime are loaded, which takes seconds.
    from honeyguide.server.access.reach import check_reach
    from honeyguide.server.bundles.folder import check_folder
    from honeyguide.server.transport.ports import check_free

    check_folder(settings.repository)
    check_reach(settings)
    check_free(settings.host, settings.port)
    if settings.admin_port > 0:
        check_free(settings.admin_host, settings.admin_port, "--admin-port")
    if settings.web_port > 0:
        check_free(settings.web_host, settings.web_port, "--web-port")

    def say(line: str) -> None:
        if settings.log_format == "json":  # who reads the log reads nothing else on this stream
            structlog.get_logger("honeyguide.server").info(line)
        else:
            stderr.print(line, soft_wrap=True)

    if settings.processes > 1:
        from honeyguide.server.processes.supervisor import supervise

        asyncio.run(supervise(settings, say))
        return
    from honeyguide.server.app import serve as run

    asyncio.run(run(settings, say))
