"""Adds the verb ``evaluate``: a checkpoint's quality, stage by stage, beside what only counts, and under rules."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

__all__ = ["add_to", "by_stage", "differences_of"]

_OF_OTHER_DATA = ("_known", "_total")
"""Ends of the columns that say how much of other data a run knows."""
_OF_DIFFERENCES = ("_gain", "_low", "_high")
"""Ends of the columns that compare a stage with another."""


class Split(StrEnum):
    """Which held-out events are predicted."""

    test = "test"
    validation = "validation"


class Targets(StrEnum):
    """What is predicted of a user's held-out events in a global-time split."""

    all = "all"
    last = "last"
    successive = "successive"


def add_to(app: typer.Typer) -> None:
    """Adds ``evaluate`` to the command."""
    app.command()(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder that `honeyguide train` wrote.")],
    data: Annotated[
        Path, typer.Argument(help="Folder that `honeyguide prepare` wrote: what it was trained on, or other data.")
    ],
    split: Annotated[Split, typer.Option(help="Which held-out events to predict.")] = Split.test,
    targets: Annotated[
        Targets | None,
        typer.Option(
            help="What of them, in a global-time split: all of a user's at once, the last, or each in turn.",
            show_default="as prepared",
        ),
    ] = None,
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
    """Measures a trained model by full ranking over the catalogue, beside popularity and transitions.

    Transitions only count what followed what; a model that they beat is said so. Each difference has a 95 % interval,
    by a paired bootstrap over users.

    Accuracy, and what goes beyond it: coverage, diversity (1 − the mean cosine of a list's item vectors), categories
    in a list, and novelty (mean −log2 of an item's share of the events).

    On data other than it was trained on, a run is asked about the items that it knows by id, and says how many.

    Example: honeyguide evaluate runs/cf data/shop --k 10,50 --rule diversity --rule category_cap:cap=2
    """
    from honeyguide import training
    from honeyguide.cli.output import (
        command_line,
        print_json,
        print_line,
        print_metrics,
        print_next,
        print_table,
        print_warning,
        working,
    )
    from honeyguide.training.evaluation.baselines import TRANSITIONS
    from honeyguide.training.evaluation.differences import Difference, beaten_words
    from honeyguide.training.runs.checkpoint import read_checkpoint

    try:
        ks = [int(part) for part in k.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{k!r} is not whole numbers with commas between", param_hint="--k") from None
    checkpoint = read_checkpoint(run)
    with working("evaluating") as progress:
        table = training.evaluate(
            run, data, split=split.value, targets=targets and targets.value, k=ks, rule=rule or (), progress=progress
        )
    stages, users, protocol = by_stage(table), table["users"][0], table["protocol"][0]
    compared, cut = differences_of(table), min(ks, key=lambda k: (abs(k - 10), k))
    known = {name: table[name][0] for name in table.columns if name.endswith(_OF_OTHER_DATA)}
    if json:
        print_json(
            {
                "model": checkpoint.model,
                "dataset": checkpoint.dataset,
                "split": split.value,
                "protocol": protocol,
                "users": users,
                "items": checkpoint.spec.items,
                "candidates": checkpoint.candidates,
                "stages": stages,
                "differences": compared,
            }
            | ({"known": known} if known else {})
        )
    else:
        where = f"{checkpoint.dataset}, measured on {data}" if known else checkpoint.dataset
        title = f"{checkpoint.model} on {where}: {split}, {users} users, {checkpoint.spec.items} items, {protocol}"
        print_metrics(title, stages)
        rows = [(c["stage"], c["over"], f"{c['gain']:+.4f}", f"{c['low']:+.4f} to {c['high']:+.4f}") for c in compared]
        print_table(f"differences in NDCG@{cut}, 95 % intervals", ("stage", "over", "gain", "interval"), rows)
    if behind := [c for c in compared if c["over"] == TRANSITIONS and c["low"] <= 0]:
        over = Difference(behind[-1]["gain"], behind[-1]["low"], behind[-1]["high"], 1.0)
        print_warning(beaten_words(behind[-1]["stage"], over, cut))
    if known and not json:
        print_line(_in_words(known))
    left_out = checkpoint.retrievers and not checkpoint.candidates  # a joint ranker alone is no bundle
    if not known and not left_out:  # a bundle is proven on the data of its training
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
            name: value
            for name, value in row.items()
            if value is not None and not name.endswith(_OF_OTHER_DATA + _OF_DIFFERENCES)
        }
        for row in table.drop("users", "protocol").iter_rows(named=True)
    }


def differences_of(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Returns what such a table compares: stage, over which other, gain in NDCG, low and high of its interval."""
    compared: list[dict[str, Any]] = []
    for above, row in pairwise(table.iter_rows(named=True)):
        for label, over in (("above", above["stage"]), ("transitions", "transitions")):
            ends = {end: row.get(f"{label}_{end}") for end in ("gain", "low", "high")}
            pair = {"stage": row["stage"], "over": over}
            if ends["gain"] is not None and pair not in [{k: c[k] for k in pair} for c in compared]:
                compared.append({**pair, **ends})
    return compared
