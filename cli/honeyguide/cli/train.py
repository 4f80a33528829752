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
    dataset: Annotated[Path, typer.Argument(help="Folder that `honeyguide prepare` wrote.")],
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
    import dataclasses
    import shutil

    from honeyguide.cli.output import print_json, print_metrics, print_next
    from honeyguide.sdk.config import config_from, config_to
    from honeyguide.sdk.errors import DataError
    from honeyguide.sdk.host import PluginHost
    from honeyguide.training.dataset import Dataset
    from honeyguide.training.fit.joint import read_runs, train_joint
    from honeyguide.training.fit.retriever import FitOptions
    from honeyguide.training.fit.train import train as train_model
    from honeyguide.training.runs.checkpoint import Checkpoint, copy_run, plugin_of, save_checkpoint

    host = PluginHost.load()
    model_class = host.model(model)
    settings = _pairs(option, "--option")
    if retriever and model_class.retrieves:
        raise typer.BadParameter(f"model {model!r} retrieves for itself", param_hint="--retriever")
    if not model_class.retrieves:
        if not retriever:
            raise typer.BadParameter(
                f"model {model!r} ranks what others retrieve: name their runs", param_hint="--retriever"
            )
        settings["sources"] = len(retriever)
    config = config_from(model_class.Config, settings)
    flags = {
        "epochs": epochs,
        "patience": patience,
        "lr": lr,
        "weight_decay": weight_decay,
        "batch_tokens": batch_tokens,
        "candidates": candidates,
        "seed": seed,
    }
    given = _pairs(fit, "--fit") | {name: value for name, value in flags.items() if value is not None}
    if epochs is not None:
        given.setdefault("final_epochs", 0)  # the flag holds for every retriever, whatever the model's default
    options = FitOptions.for_model(model_class, given)
    data = Dataset.open(dataset)
    runs = [] if model_class.retrieves else read_runs(retriever or (), host, data.spec.fingerprint)
    built = model_class(config, data.spec)
    progress = out / "progress"
    if (out / "checkpoint.json").exists() and not force:
        raise DataError("a trained model lies in here", file=str(out), remedy="choose another --out, or give --force")
    if progress.exists() and not (progress / "training.json").exists() and any(progress.iterdir()):
        raise DataError("no unfinished training lies in here", file=str(progress), remedy="choose another --out")
    with _bar() as report:
        learn, watch, items = data.training(), data.evaluation("validation"), data.item_table()
        if model_class.retrieves:
            trained = train_model(built, learn, watch, options, items=items, progress=progress, report=report)
        else:
            trained = train_joint(built, runs, learn, watch, options, items=items, progress=progress, report=report)
    folders = tuple(f"retrievers/{place}-{run.checkpoint.model}" for place, run in enumerate(runs))
    for run, folder in zip(runs, folders, strict=True):
        copy_run(run.folder, out / folder)
    checkpoint = Checkpoint(
        model=model,
        config=config_to(config),
        plugin=plugin_of(host, model),
        spec=data.spec,
        dataset=data.name,
        seed=options.seed,
        candidates=trained.candidates,
        epochs=trained.epochs,
        metrics=trained.metrics,
        retrievers=folders,
        options=dataclasses.asdict(options),
        report=trained.report,
    )
    save_checkpoint(out, checkpoint, trained.network, trained.first)
    shutil.rmtree(progress)
    if json:
        print_json(
            {"run": str(out), "model": model, "epochs": trained.epochs, "candidates": trained.candidates}
            | {"metrics": trained.metrics, "report": trained.report}
        )
    else:
        title = f"{model} on {data.name}: best epoch {trained.epochs}, {trained.report['seconds']} s, validation users"
        stages: dict[str, dict[str, float]] = {}
        for name, value in trained.metrics.items():
            stage, _, metric = name.partition("/")
            if metric.endswith("@10"):
                stages.setdefault(stage, {})[metric] = value
        print_metrics(title, stages)
        typer.echo(f"ranker {trained.report['ranker']}")
    print_next(f"honeyguide evaluate {out} {dataset}")


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
