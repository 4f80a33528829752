"""Adds the verb ``evaluate``: a checkpoint's quality, stage by stage, beside popularity."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_to"]


class Split(StrEnum):
    """Which held-out events are predicted."""

    test = "test"
    validation = "validation"


def add_to(app: typer.Typer) -> None:
    """Adds ``evaluate`` to the command."""
    app.command()(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder that `honeyguide train` wrote.")],
    dataset: Annotated[Path, typer.Argument(help="Folder that `honeyguide prepare` wrote.")],
    split: Annotated[Split, typer.Option(help="Which held-out events to predict.")] = Split.test,
    k: Annotated[str, typer.Option(help="The cuts, with commas between.")] = "5,10,20",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measures a trained model by full ranking over the catalogue, beside popularity.

    Example: honeyguide evaluate runs/cf data/shop --k 10,50
    """
    from honeyguide.cli.output import print_json, print_metrics, print_next
    from honeyguide.sdk.errors import DataError
    from honeyguide.sdk.host import PluginHost
    from honeyguide.training.checkpoint import load_checkpoint
    from honeyguide.training.dataset import Dataset
    from honeyguide.training.evaluate import best_device
    from honeyguide.training.evaluate import evaluate as measure

    try:
        ks = sorted({int(part) for part in k.split(",")})
    except ValueError:
        ks = [0]
    if ks[0] < 1:
        raise typer.BadParameter(f"{k!r}; allowed: whole numbers from 1 with commas between", param_hint="--k")
    data = Dataset.open(dataset)
    checkpoint, model, network = load_checkpoint(run, PluginHost.load())
    if checkpoint.spec.fingerprint != data.spec.fingerprint or checkpoint.spec.items != data.spec.items:
        raise DataError(
            f"the model was trained on {checkpoint.dataset!r} as it was then; this is {data.name!r} with other content",
            file=str(dataset),
            remedy="evaluate on the data set it was trained on, or train again",
        )
    held_out = data.evaluation(split.value)
    stages = measure(
        model,
        network.to(best_device()),
        held_out,
        candidates=checkpoint.candidates,
        popularity=data.items["popularity"].to_numpy(),
        ks=ks,
    )
    if json:
        print_json(
            {
                "model": checkpoint.model,
                "dataset": data.name,
                "split": split.value,
                "users": len(held_out),
                "items": data.spec.items,
                "candidates": checkpoint.candidates,
                "stages": stages,
            }
        )
    else:
        title = f"{checkpoint.model} on {data.name}: {split.value}, {len(held_out)} users, {data.spec.items} items"
        print_metrics(title, stages)
    print_next(f"honeyguide export {run} {dataset}")
