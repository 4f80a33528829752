"""Adds the verb ``models``: what a running server serves, and how to change it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from honeyguide.cli.connection import LOCAL, JsonOption, ServerFlags, asks_server, hand_down

if TYPE_CHECKING:
    from honeyguide.answers import Traffic

__all__ = ["add_to"]

Name = Annotated[str, typer.Argument(help="The model's name; `honeyguide models` lists them.")]
_NEWEST = 2**63 - 1
"""The highest number of a version."""


def add_to(app: typer.Typer) -> None:
    """Adds ``models`` and its sub-verbs to the command."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(asks_server(models))
    group.command("list")(asks_server(list_models, in_group=True))
    for verb in (show, load, unload, pipelines, traffic):
        group.command()(asks_server(verb, in_group=True))
    app.add_typer(group, name="models")


def models(context: typer.Context, server: ServerFlags = LOCAL, json: JsonOption = False) -> None:
    """Lists, shows, loads and unloads the models of a running server, and says who answers whom.

    Example: honeyguide models load cf --version 2
    """
    if context.invoked_subcommand is None:
        list_models(server, json)
    else:
        hand_down(context)


def list_models(server: ServerFlags = LOCAL, json: JsonOption = False) -> None:
    """Lists the models, newest version first.

    Example: honeyguide models list --json
    """
    from dataclasses import asdict

    from honeyguide.cli.output import print_json, print_note, print_table

    with server.connect() as client:
        listed = client.models()
    if json:
        print_json([asdict(model) for model in listed])
        return
    columns = ("model", "state", "class", "items", "runs on", "memory", "digest", "signer", "ndcg@10")
    rows = [
        (
            f"{model.name} {model.version or ''}".rstrip(),
            model.state.lower(),
            model.model_class,
            model.item_count or "",
            " ".join(filter(None, (model.provider.removesuffix("ExecutionProvider"), model.precision))),
            _megabytes(model.memory_bytes),
            model.digest[:8],
            model.signer,
            _quality(model.metrics),
        )
        for model in listed
    ]
    print_table(f"Models of {server.server}", columns, rows)
    for model in listed:
        if model.last_error:
            print_note(f"{model.name} {model.version or ''}".rstrip(), model.last_error)


def show(
    name: Name,
    version: Annotated[
        int, typer.Option(min=0, max=_NEWEST, help="The version.", show_default="the one that serves, or the newest")
    ] = 0,
    server: ServerFlags = LOCAL,
    json: JsonOption = False,
) -> None:
    """Describes one model.

    Example: honeyguide models show cf
    """
    from dataclasses import asdict
    from datetime import UTC, datetime

    from honeyguide.cli.output import print_json, print_table

    with server.connect() as client:
        model = asdict(client.model(name, version))
    if json:
        print_json(model)
        return
    metrics, memory = model.pop("metrics"), model.pop("memory_bytes")
    for field, label in (("create_time_ms", "created"), ("load_time_ms", "loaded")):
        moment = model.pop(field)
        model[label] = datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="seconds") if moment else ""
    model["memory"] = _megabytes(memory)
    rows = [(field.replace("_", " "), str(value)) for field, value in model.items() if value not in ("", None)]
    print_table(f"{name} {model['version']}", ("field", "value"), rows)
    if metrics:
        print_table("On held-out users at export", ("metric", "value"), sorted(metrics.items()))


def load(
    name: Name,
    version: Annotated[int, typer.Option(min=0, max=_NEWEST, help="The version.", show_default="the newest")] = 0,
    digest: Annotated[
        str, typer.Option(help="Digest it must have, as `honeyguide export` prints it.", show_default="any")
    ] = "",
    server: ServerFlags = LOCAL,
    json: JsonOption = False,
) -> None:
    """Loads a model and swaps it in; calls under way finish on the old version.

    Example: honeyguide models load cf --version 2
    """
    from dataclasses import asdict

    from honeyguide.cli.output import print_json, print_line

    with server.connect() as client:
        loaded = client.load_model(name, version, digest=digest)
    if json:
        print_json(asdict(loaded))
        return
    before = f" in place of version {loaded.previous_version}" if loaded.previous_version else ""
    print_line(f"{name} {loaded.model.version} serves{before}")


def unload(name: Name, server: ServerFlags = LOCAL, json: JsonOption = False) -> None:
    """Stops serving a model.

    Example: honeyguide models unload cf
    """
    from honeyguide.cli.output import print_json, print_line

    with server.connect() as client:
        version = client.unload_model(name)
    if json:
        print_json({"name": name, "version": version})
        return
    print_line(f"{name} {version} serves no more")


def pipelines(server: ServerFlags = LOCAL, json: JsonOption = False) -> None:
    """Lists the pipelines, the default first.

    Example: honeyguide models pipelines
    """
    from dataclasses import asdict

    from honeyguide.cli.output import print_json, print_table

    with server.connect() as client:
        listed = client.pipelines()
    if json:
        print_json([asdict(pipeline) for pipeline in listed])
        return
    rows = [
        (
            pipeline.name + " (default)" * pipeline.is_default,
            ", ".join(map(str, pipeline.retrievers)),
            str(pipeline.ranker or "–"),
            ", ".join(pipeline.rules) or "–",
            _yes(pipeline.drop_seen),
            _who_answers(pipeline.traffic),
            pipeline.problem,
        )
        for pipeline in listed
    ]
    print_table(
        f"Pipelines of {server.server}",
        ("pipeline", "retrieves", "ranks", "rules", "drops seen", "traffic", "problem"),
        rows,
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count else ""


def _quality(metrics: Mapping[str, float]) -> str:
    """Shows NDCG@10 on held-out users, of the ranking if it ranks."""
    figures = [metrics[name] for name in ("rank/ndcg@10", "retrieve/ndcg@10", "ndcg@10") if name in metrics]
    return f"{figures[0]:.4f}" if figures else ""


def traffic(
    pipeline: Annotated[str, typer.Argument(help="The pipeline; `honeyguide models pipelines` lists them.")],
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="PIPELINE=PERCENT", help="Pipeline that answers so many of the users; may be repeated."),
    ] = None,
    shadow: Annotated[
        list[str] | None, typer.Option(help="Pipeline that is asked besides, and answers nobody; may be repeated.")
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="The pipeline answers everybody, and nobody is asked besides.")
    ] = False,
    previous: Annotated[bool, typer.Option("--previous", help="Go back to what held before the last change.")] = False,
    server: ServerFlags = LOCAL,
    json: JsonOption = False,
) -> None:
    """Sets which pipelines answer for one, and says who did before.

    Example: honeyguide models traffic home --arm next=10 --shadow trial
    """
    from dataclasses import asdict

    from honeyguide.cli.output import print_json, print_line

    if (bool(arm or shadow) + alone + previous) != 1:
        raise typer.BadParameter("say one of: --arm and --shadow, --alone, --previous")
    with server.connect() as client:
        changed = client.set_traffic(pipeline, _arms(arm or ()), shadows=shadow or (), previous=previous)
    if json:
        print_json(asdict(changed))
        return
    print_line(f"{pipeline}: {_who_answers(changed.traffic)}; before: {_who_answers(changed.previous)}")


def _arms(given: Iterable[str]) -> dict[str, float]:
    """Reads ``PIPELINE=PERCENT``."""
    arms = {}
    for text in given:
        name, _, percent = text.partition("=")
        try:
            arms[name] = float(percent)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no PIPELINE=PERCENT, such as next=10", param_hint="--arm") from None
    return arms


def _who_answers(traffic: Traffic) -> str:
    arms = [f"{percent:g} % {name}" for name, percent in traffic.arms.items()]
    return ", ".join(arms + [f"shadow {name}" for name in traffic.shadows]) or "itself alone"


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
