"""Adds the verb ``train``: from a data set to a checkpoint."""

# ruff: noqa: ARG001  # the flags are read all at once, from the context

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from honeyguide.cli.model_options import TrainCommand, complete_model

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds ``train`` to the command."""
    app.command(cls=TrainCommand)(train)


def _option(text: str, default: str, least: int | None = None) -> Any:
    return typer.Option(help=text, show_default=default, min=least, max=None if least is None else 2**32 - 1)


def train(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(help="Name of the model; `honeyguide plugins` lists them.", autocompletion=complete_model)
    ],
    data: Annotated[Path, typer.Argument(help="Folder that `honeyguide prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")],
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="An option of the model (`honeyguide plugins show MODEL`); may be repeated."
        ),
    ] = None,
    fit: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A training option that has no flag of its own; may be repeated."),
    ] = None,
    retriever: Annotated[
        list[Path] | None,
        typer.Option(help="Run folder of a model that retrieves for this one, such as joint; may be repeated."),
    ] = None,
    epochs: Annotated[int | None, _option("The most epochs.", "the model's, or 100", 1)] = None,
    patience: Annotated[
        int | None, _option("Epochs without a better validation NDCG@10 before it stops.", "the model's, or 10", 1)
    ] = None,
    lr: Annotated[float | None, _option("Learning rate.", "the model's, or 0.001")] = None,
    weight_decay: Annotated[float | None, _option("Weight decay.", "the model's, or 0")] = None,
    batch_tokens: Annotated[
        int | None, _option("Sequences × longest length of a batch.", "the model's, or 8192", 1)
    ] = None,
    candidates: Annotated[
        int | None, _option("Items the ranker reorders; 0 trains no ranker.", "the model's, or 200", 0)
    ] = None,
    seed: Annotated[int | None, _option("Seed of all that is random.", "the model's, or 0", 0)] = None,
    force: Annotated[bool, typer.Option("--force", help="Begin anew: replace what is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Trains a model with early stopping; killed and run again, it goes on.

    Example: honeyguide train cf data/shop --out runs/cf --option dimension=64 --epochs 50
    """
    from honeyguide import training
    from honeyguide.cli.output import (
        command_line,
        print_json,
        print_line,
        print_metrics,
        print_next,
        print_warning,
        stderr,
    )
    from honeyguide.cli.training_progress import training_progress

    flags = {name: value for name, value in ctx.params.items() if value is not None and name != "json"}
    flags |= {"option": _pairs(option, "--option"), "fit": _pairs(fit, "--fit")}
    try:
        with training_progress() as progress:
            run = training.train(**flags, progress=progress)
    except KeyboardInterrupt:
        again = f"give the same command again{', without --force,' if force else ''} to go on"
        stderr.print(f"stopped; {again if (out / 'progress').is_dir() else 'nothing was learnt yet'}")
        raise typer.Exit(130) from None
    trained = run.checkpoint
    if json:
        print_json(
            {"run": str(out), "model": model, "epochs": trained.epochs, "candidates": trained.candidates}
            | {"metrics": trained.metrics, "report": trained.report}
        )
    else:
        seconds = trained.report["seconds"]
        title = f"{model} on {trained.dataset}: best epoch {trained.epochs}, {seconds} s, validation users"
        title += f", {trained.report['protocol']}"
        stages: dict[str, dict[str, float]] = {}
        for name, value in trained.metrics.items():
            stage, _, metric = name.partition("/")
            if metric.endswith("@10"):
                stages.setdefault(stage, {})[metric] = value
        print_metrics(title, stages)
        print_line(f"ranker: {trained.report['ranker']}")
        if beaten := trained.report["transitions"]["words"]:
            print_warning(beaten)
        print_line(f"history, an epoch a row: {run.folder / 'history.csv'}")
    print_next(command_line("evaluate", out, data))


def _pairs(values: list[str] | None, flag: str) -> dict[str, Any]:
    pairs = [value.partition("=") for value in values or ()]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise typer.BadParameter(f"{wrong[0]!r} is not KEY=VALUE", param_hint=flag)
    return {key: value for key, _, value in pairs}
