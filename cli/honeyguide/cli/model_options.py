"""Shows the options of models and rules: in ``plugins show`` and the help of ``train``; completes their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from typer.core import TyperCommand

if TYPE_CHECKING:
    from honeyguide.sdk import Model, Rule
    from honeyguide.sdk.host import PluginHost
    from honeyguide.sdk.options import OptionRow

__all__ = ["TrainCommand", "complete_model", "complete_offer", "describe_offer", "print_offer"]

_FLAGS = ("epochs", "patience", "lr", "weight_decay", "batch_tokens", "candidates", "seed")
"""Training options that have a flag of their own."""


def describe_offer(name: str, host: PluginHost) -> dict[str, Any]:
    """Describes a model or a rule with all its options; raises `PluginError` naming those that exist."""
    from honeyguide.sdk.options import describe_options
    from honeyguide.training.fit.options import FitOptions

    if name in host.rules and name not in host.models:
        rule = host.rules[name]
        return _header("rule", name, rule, host) | {"options": _rows(describe_options(rule.Config))}
    model = host.model(name)
    return _header("model", name, model, host) | {
        "options": _rows(describe_options(model.Config)),
        "fit": _rows(describe_options(FitOptions, model.fit_defaults)),
    }


def _header(kind: str, name: str, cls: type[Model] | type[Rule], host: PluginHost) -> dict[str, Any]:
    owner = next(plugin for plugin in host.plugins if name in (plugin.models if kind == "model" else plugin.rules))
    says = " ".join((cls.__doc__ or "").partition("\n\n")[0].split()).replace("`", "")
    return {"kind": kind, "name": name, "distribution": owner.distribution, "version": owner.version, "says": says}


def _rows(options: Sequence[OptionRow]) -> list[dict[str, Any]]:
    return [row._asdict() for row in options]


def print_offer(offer: dict[str, Any]) -> None:
    """Prints what `describe_offer` returned."""
    from honeyguide.cli.output import command_line, print_line, print_next, print_table

    columns = ("option", "type", "default", "meaning")
    where = f", of {offer['distribution']} {offer['version']}" if offer["distribution"] else ""
    print_line(f"{offer['kind'].capitalize()} {offer['name']}{where}: {offer['says']}\n")
    how = "--option KEY=VALUE" if offer["kind"] == "model" else "in a pipeline of the server's settings"
    print_table(f"Options of the {offer['kind']}: {how}", columns, _cells(offer["options"]))
    if offer["kind"] == "model":
        print_table("Options of its training: --fit KEY=VALUE, or a flag of train", columns, _cells(offer["fit"]))
        print_next(command_line("train", offer["name"], "DATA", out=f"runs/{offer['name']}"))


def _cells(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    return [(row["name"], row["type"], _typed(row["default"]), row["meaning"].replace("`", "")) for row in rows]


def _typed(value: Any) -> str:
    """Writes a value as one types it behind KEY=."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class TrainCommand(TyperCommand):
    """Command ``train``, whose help ends with each model's own defaults; these are looked up when it is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Adds the defaults, then shows the help."""
        self.epilog = "\n\n".join(_defaults())
        super().format_help(ctx, formatter)


def _defaults() -> Iterator[str]:
    yield "Every option of a model and of its training: `honeyguide plugins show MODEL`."
    try:
        from honeyguide.sdk.errors import HoneyguideError
        from honeyguide.sdk.host import PluginHost
        from honeyguide.training.fit.options import FitOptions
    except ImportError:  # an install that cannot train has a help all the same
        return
    yield "Defaults of the flags by model:"
    for name, model in sorted(PluginHost.load().models.items()):
        try:
            options = FitOptions.for_model(model, {})
        except HoneyguideError as error:  # a plugin's mistake must not cost the help
            yield escape(f"{name}: {error}")
            continue
        yield f"{name}: " + ", ".join(f"--{flag.replace('_', '-')} {getattr(options, flag)}" for flag in _FLAGS)


def complete_model(incomplete: str) -> list[str]:
    """Completes the name of a model."""
    return _names(incomplete, rules=False)


def complete_offer(incomplete: str) -> list[str]:
    """Completes the name of a model or a rule."""
    return _names(incomplete, rules=True)


def _names(incomplete: str, *, rules: bool) -> list[str]:
    try:
        from honeyguide.sdk.host import PluginHost
    except ImportError:  # as above
        return []
    host = PluginHost.load()
    names = [*host.models, *(host.rules if rules else ())]
    return sorted(name for name in names if name.startswith(incomplete))
