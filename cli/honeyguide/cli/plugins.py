"""Adds the verb ``plugins``: what is installed, its options, whether a model keeps the contract, a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli.connection import JsonOption, hand_down
from honeyguide.cli.model_options import complete_model, complete_offer

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds ``plugins`` and its sub-verbs to the command."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(plugins)
    group.command()(show)
    group.command()(check)
    group.command()(new)
    app.add_typer(group, name="plugins")


def plugins(
    context: typer.Context,
    json: JsonOption = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of a plugin that is broken.")] = False,
    strict_plugins: Annotated[
        bool, typer.Option("--strict-plugins", help="Fail if any plugin is broken, instead of listing it.")
    ] = False,
) -> None:
    """Lists the installed plugins with their models and rules; a broken one is listed with its reason.

    Example: honeyguide plugins --verbose
    """
    if context.invoked_subcommand is None:
        _list(json, verbose, strict_plugins)
    else:
        hand_down(context)


def show(
    name: Annotated[str, typer.Argument(help="Name of a model or a rule.", autocompletion=complete_offer)],
    json: JsonOption = False,
) -> None:
    """Lists every option of a model and of its training, or of a rule: type, default, meaning with the range.

    Example: honeyguide plugins show cf
    """
    from honeyguide.cli.model_options import describe_offer, print_offer
    from honeyguide.cli.output import print_json
    from honeyguide.sdk.host import PluginHost

    offer = describe_offer(name, PluginHost.load())
    if json:
        print_json(offer)
    else:
        print_offer(offer)


def check(
    name: Annotated[
        str, typer.Argument(help="Name of the model; `honeyguide plugins` lists them.", autocompletion=complete_model)
    ],
    json: JsonOption = False,
) -> None:
    """Checks that a model keeps the plugin contract: small, on made-up data, in torch, in ONNX and served.

    Exit code 1 where a check fails. Example: honeyguide plugins check cf
    """
    from honeyguide.cli.output import print_json, print_line, print_table, stderr
    from honeyguide.conformance import kit
    from honeyguide.sdk.host import PluginHost
    from honeyguide.server.ops.logs import configure_logs

    configure_logs("error")
    found = []
    with stderr.status("reading the plugins …") as status:
        for place, result in enumerate(kit.run_checks(name, PluginHost.load()), 1):
            found.append(result)
            following = kit.checks()[place : place + 1]
            status.update(" ".join(f"{place} of {len(kit.checks())} checks done, now {c.name} …" for c in following))
    if json:
        print_json(
            [
                {"check": r.check.name, "says": r.check.sentence, "passed": r.passed}
                | {"message": r.message, "seconds": round(r.seconds, 2)}
                for r in found
            ]
        )
    else:
        signs = {True: "✓", False: "✗", None: "–"}
        rows = [
            (signs[r.passed], r.check.name, r.message or r.check.sentence.replace("`", ""), f"{r.seconds:.1f}")
            for r in found
        ]
        print_table(f"Model {name}", ("", "check", "says", "seconds"), rows)
    failed = [r for r in found if r.passed is False]
    if failed:
        stderr.print(f"{len(failed)} of {len(found)} checks failed", style="red")
        raise typer.Exit(1)
    if not json:
        print_line(f"{name} keeps the plugin contract.")


def new(
    name: Annotated[str, typer.Argument(help="What the model is called, such as my_model.")],
    into: Annotated[Path, typer.Option(help="Where the project's folder is put.")] = Path(),
) -> None:
    """Writes a whole project for a new model: its package, one model that works, its tests.

    Example: honeyguide plugins new my_model --into ~/work
    """
    import shlex

    from honeyguide.cli.output import print_line, print_next
    from honeyguide.conformance.project import write_project
    from honeyguide.sdk.errors import ConfigError
    from honeyguide.sdk.host import PluginHost

    if name.replace("-", "_") in PluginHost.load().models:
        raise ConfigError(f"a model {name!r} is installed already; choose another name")
    folder = write_project(name, into)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    for file in files:
        print_line(str(folder / file))
    print_next(f"cd {shlex.quote(str(folder))} && pip install -e '.[dev]' && pytest")


def _list(json: bool, verbose: bool, strict_plugins: bool) -> None:
    from honeyguide.cli.output import print_json, print_line, print_table
    from honeyguide.sdk.host import PluginHost

    host = PluginHost.load(strict=strict_plugins)
    if json:
        print_json(
            [
                {
                    "name": plugin.name,
                    "distribution": plugin.distribution,
                    "version": plugin.version,
                    "status": "broken" if plugin.error else "loaded",
                    "models": list(plugin.models),
                    "rules": list(plugin.rules),
                    "error": {"class": plugin.error_class, "message": plugin.error_message} if plugin.error else None,
                }
                | ({"traceback": plugin.error_traceback} if verbose and plugin.error else {})
                for plugin in host.plugins
            ]
        )
        return
    rows = [
        (
            plugin.name,
            f"{plugin.distribution} {plugin.version}".strip() or "–",
            ", ".join([f"model {name}" for name in plugin.models] + [f"rule {name}" for name in plugin.rules]) or "–",
            f"broken: {plugin.error_class}: {plugin.error_message}" if plugin.error else "loaded",
        )
        for plugin in host.plugins
    ]
    print_table("Plugins", ("plugin", "distribution", "offers", "status"), rows)
    broken = [plugin for plugin in host.plugins if plugin.error]
    for plugin in broken if verbose else ():
        print_line(f"\n{plugin.name}\n{plugin.error_traceback}")
    if broken and not verbose:
        print_line("Add --verbose to see why.")
