"""Adds the verb ``prepare``: from a raw event log to a data set."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli.output import print_json, print_next, print_table, stderr, working
from honeyguide.cli.prepare_flags import data_flags

if TYPE_CHECKING:
    from honeyguide.training.dataset import Dataset

__all__ = ["add_to"]

EXAMPLES = """Turns a raw event log into a data set: reads, cleans, splits, and says what was dropped and why.

[bold]Examples[/]

  honeyguide prepare --preset demo --out data/demo

  honeyguide prepare ratings.dat --preset movielens --items movies.dat --out data/ml-1m

  honeyguide prepare log.csv --user uid --item sku --time ts --dwell stay --min-item-events 5 --out data/shop

  honeyguide prepare --config shop.toml

The TOML file holds the flags by name, with "_" for "-": [cyan]source = "log.csv"[/] and so on. Flags win over the file,
the file over the preset. Columns of a text file without header are called "1", "2", …
"""
_PRESETS = "demo, kuairand, movielens, online-retail, recbole, sequence (`user item` a line)."


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    verb: Any = lambda **flags: _prepare(**flags)  # noqa: E731  # its signature is made of the tables
    own = [*inspect.signature(_prepare, eval_str=True).parameters.values()][:-1]
    parameters = [*own, *data_flags()]
    verb.__signature__ = inspect.Signature(parameters)
    verb.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command("prepare", help=EXAMPLES)(verb)


def _prepare(
    source: Annotated[
        Path | None, typer.Argument(help="Event log: CSV, TSV or other text, .gz or not, or .parquet.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default=False)] = None,
    preset: Annotated[str | None, typer.Option(help=_PRESETS, show_default=False)] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with these options.", show_default=False)] = None,
    name: Annotated[
        str | None, typer.Option(help="What the data set is called.", show_default="the folder's name")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a data set that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    **flags: Any,
) -> None:
    from honeyguide import training

    with working("preparing") as progress:
        dataset = training.prepare(
            source, out=out, preset=preset, config=config, name=name, force=force, progress=progress, **flags
        )
    if json:
        print_json({"name": dataset.name, "counts": dataset.counts, **dataset.report})
    else:
        _show(dataset)
    print_next(f"honeyguide train cf {dataset.folder} --out runs/cf")


def _show(dataset: Dataset) -> None:
    """Prints the report as tables."""
    report, counts = dataset.report, dataset.counts
    rows: list[tuple[object, ...]] = [("read", report["read"], "")]
    rows += [(f"dropped: {d['reason']}", d["events"], d["example"]) for d in report["dropped"]]
    rows += [("kept", report["kept"], f"{counts['users']:,} users, {counts['items']:,} items")]
    print_table(f"{dataset.name}: {report['seconds']:.1f} s", ("", "events", "example"), rows)
    parts = [(part, counts[part]) for part in ("train", "validation", "test")]
    print_table(f"split: {dataset.split}", ("part", "events"), parts)
    if report["features"]:
        names = ("missing", "fill", "winsorised", "lower", "upper", "mean", "std")
        features = [(f, *(figures[name] for name in names)) for f, figures in report["features"].items()]
        print_table("features", ("feature", *names), features)
    if report["item_columns"]:
        columns = [(name, column["kind"], column["missing"]) for name, column in report["item_columns"].items()]
        print_table("item columns", ("column", "kind", "missing"), columns)
    again = "users meet items again: nothing seen is masked" if report["repeats"] else "items do not repeat"
    unused = f"; columns not used: {', '.join(report['unused_columns'])}" if report["unused_columns"] else ""
    stderr.print(again + unused, highlight=False, markup=False, soft_wrap=True)
