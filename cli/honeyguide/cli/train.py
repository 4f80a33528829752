"""Adds the verb ``train``: from a data set to a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from honeyguide.training.fit.loop import Moment, Report

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds ``train`` to the command."""
    app.command()(train)


def train(
    model: Annotated[str, typer.Argument(help="Name of the model; `honeyguide plugins` lists them.")],
    data: Annotated[Path, typer.Argument(help="Folder that `honeyguide prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")],
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="An option of the model; may be repeated.")
    ] = None,
    fit: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A training option that has no flag of its own; may be repeated."),
    ] = None,
    retriever: Annotated[
        list[Path] | None,
        typer.Option(help="Run folder of a model that retrieves for this one, such as joint; may be repeated."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="The most epochs.", show_default="the model's, or 100")] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Epochs without a better validation NDCG@10 before it stops.", show_default="the model's, or 10"
        ),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", show_default="the model's, or 0.001")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay.", show_default="the model's, or 0")] = None,
    batch_tokens: Annotated[
        int | None, typer.Option(help="Sequences × longest length of a batch.", show_default="the model's, or 8192")
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(help="Items the ranker reorders; 0 trains no ranker.", show_default="the model's, or 200"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all that is random.", show_default="the model's, or 0")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a trained model that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Trains a model with early stopping; killed and run again, it goes on.

    Example: honeyguide train cf data/shop --out runs/cf --option dimension=64 --epochs 50
    """
    from honeyguide import training
    from honeyguide.cli.output import print_json, print_metrics, print_next
    from honeyguide.sdk.errors import InvalidArgument

    options, more = _pairs(option, "--option"), _pairs(fit, "--fit")
    try:
        with _bar() as report:
            run = training.train(
                model,
                data,
                out=out,
                option=options,
                fit=more,
                retriever=retriever or (),
                epochs=epochs,
                patience=patience,
                lr=lr,
                weight_decay=weight_decay,
                batch_tokens=batch_tokens,
                candidates=candidates,
                seed=seed,
                force=force,
                progress=report,
            )
    except InvalidArgument as error:
        raise typer.BadParameter(error.message, param_hint=f"--{error.field}") from None
    trained = run.checkpoint
    if json:
        print_json(
            {"run": str(out), "model": model, "epochs": trained.epochs, "candidates": trained.candidates}
            | {"metrics": trained.metrics, "report": trained.report}
        )
    else:
        seconds = trained.report["seconds"]
        title = f"{model} on {trained.dataset}: best epoch {trained.epochs}, {seconds} s, validation users"
        stages: dict[str, dict[str, float]] = {}
        for name, value in trained.metrics.items():
            stage, _, metric = name.partition("/")
            if metric.endswith("@10"):
                stages.setdefault(stage, {})[metric] = value
        print_metrics(title, stages)
        typer.echo(f"ranker {trained.report['ranker']}")
    print_next(f"honeyguide evaluate {out} {data}")


def _pairs(values: list[str] | None, flag: str) -> dict[str, Any]:
    pairs = [value.partition("=") for value in values or ()]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise typer.BadParameter(f"{wrong[0]!r} is not KEY=VALUE", param_hint=flag)
    return {key: value for key, _, value in pairs}


@contextmanager
def _bar() -> Iterator[Report]:
    """Shows a bar for the epoch under way."""
    from honeyguide.cli.output import progress

    with progress("batches") as bar:
        task = bar.add_task("getting ready", total=None, rate="")

        def show(moment: Moment) -> None:
            if moment.batch == 1:
                bar.reset(task, total=moment.batches)
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(
                task,
                completed=moment.batch,
                description=f"{moment.phase}, epoch {moment.epoch} of at most {moment.epochs}",
                rate=f"{speed or 0:.0f}/s · best NDCG@10 {moment.score:.4f}",
            )

        yield show
