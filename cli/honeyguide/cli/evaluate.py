"""Adds the verb ``evaluate``: a checkpoint's quality, stage by stage, beside popularity, and what rules do to it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

__all__ = ["add_to", "by_stage"]

_OF_OTHER_DATA = ("_known", "_total")
"""Ends of the columns that say how much of other data a run knows."""


class Split(StrEnum):
    """Which held-out events are predicted."""

    test = "test"
    validation = "validation"


def add_to(app: typer.Typer) -> None:
    """Adds ``evaluate`` to the command."""
    app.command()(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder that `honeyguide train` wrote.")],
    data: Annotated[
        Path, typer.Argument(help="Folder that `honeyguide prepare` wrote: what it was trained on, or other data.")
    ],
    split: Annotated[Split, typer.Option(help="Which held-out events to predict.")] = Split.test,
    k: Annotated[str, typer.Option(help="The cuts, with commas between.")] = "5,10,20",
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:KEY=VALUE,…]",
            help="A rule to apply to the last stage; repeated: each is applied alone.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measures a trained model by full ranking over the catalogue, beside popularity.

    Accuracy, and what goes beyond it: coverage, diversity (1 − the mean cosine of a list's item vectors), categories
    in a list, and novelty (mean −log2 of an item's share of the events).

    On data other than it was trained on, a run is asked about the items that it knows by id, and says how many.

    Example: honeyguide evaluate runs/cf data/shop --k 10,50 --rule diversity --rule category_cap:cap=2
    """
    from honeyguide import training
    from honeyguide.cli.output import command_line, print_json, print_line, print_metrics, print_next, working
    from honeyguide.training.runs.checkpoint import read_checkpoint

    try:
        ks = [int(part) for part in k.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{k!r} is not whole numbers with commas between", param_hint="--k") from None
    checkpoint = read_checkpoint(run)
    with working("evaluating") as progress:
        table = training.evaluate(run, data, split=split.value, k=ks, rule=rule or (), progress=progress)
    stages, users = by_stage(table), table["users"][0]
    known = {name: table[name][0] for name in table.columns if name.endswith(_OF_OTHER_DATA)}
    if json:
        print_json(
            {
                "model": checkpoint.model,
                "dataset": checkpoint.dataset,
                "split": split.value,
                "users": users,
                "items": checkpoint.spec.items,
                "candidates": checkpoint.candidates,
                "stages": stages,
            }
            | ({"known": known} if known else {})
        )
    else:
        where = f"{checkpoint.dataset}, measured on {data}" if known else checkpoint.dataset
        print_metrics(f"{checkpoint.model} on {where}: {split}, {users} users, {checkpoint.spec.items} items", stages)
        if known:
            print_line(_in_words(known))
    if not known:  # a bundle is proven on the data of its training
        print_next(command_line("export", run, data))


def _in_words(known: Mapping[str, int]) -> str:
    """Says how much of other data a run knows, by `honeyguide.training.evaluation.other_data.Known`."""
    parts = [
        f"{known[f'{what}_known']:,} of {known[f'{what}_total']:,} {words}"
        for what, words in (("items", "items"), ("events", "earlier events"), ("targets", "targets"))
    ]
    missed = 1 - known["targets_known"] / known["targets_total"]
    out = known["users_total"] - known["users_known"]
    left_out = f"; {out:,} of {known['users_total']:,} users are left out: no event of theirs is known" if out else ""
    return (
        f"other data than it was trained on; known by item id: {', '.join(parts)}\n"
        f"{missed:.1%} of the targets cannot be hit, and count as misses" + left_out
    )


def by_stage(table: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Returns the metrics of each stage that a table of `honeyguide.training.evaluate` has."""
    return {
        row.pop("stage"): {
            name: value for name, value in row.items() if value is not None and not name.endswith(_OF_OTHER_DATA)
        }
        for row in table.drop("users").iter_rows(named=True)
    }
