"""Adds the verb ``plugins``: what is installed, what it offers, and what did not load and why."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds ``plugins`` to the command."""
    app.command()(plugins)


def plugins(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of a plugin that is broken.")] = False,
    strict_plugins: Annotated[
        bool, typer.Option("--strict-plugins", help="Fail if any plugin is broken, instead of listing it.")
    ] = False,
) -> None:
    """Lists the installed plugins with their models and rules; a broken one is listed with its reason.

    Example: honeyguide plugins --verbose
    """
    from honeyguide.cli.output import print_json, print_table, stdout
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
            ", ".join(plugin.models) or "–",
            ", ".join(plugin.rules) or "–",
            f"broken: {plugin.error_class}: {plugin.error_message}" if plugin.error else "loaded",
        )
        for plugin in host.plugins
    ]
    print_table("Plugins", ("plugin", "distribution", "models", "rules", "status"), rows)
    broken = [plugin for plugin in host.plugins if plugin.error]
    for plugin in broken if verbose else ():
        stdout.print(f"\n{plugin.name}\n{plugin.error_traceback}", markup=False, highlight=False, soft_wrap=True)
    if broken and not verbose:
        stdout.print("Add --verbose to see why.", highlight=False)
