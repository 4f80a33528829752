"""Adds the verb ``prepare``: from a raw event log to a data set."""

# ruff: noqa: ARG001  # the flags are read all at once, from the context

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli.output import print_json, print_next, print_table, stderr

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


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("prepare", help=EXAMPLES)(_prepare)


def _text(help: str, panel: str) -> Any:
    """Makes an option; what stands in [] at the end of its help is its default."""
    text, _, default = help.removesuffix(".").removesuffix("]").partition(" [default: ")
    return typer.Option(help=text + ".", rich_help_panel=panel, show_default=default or False)


_COLUMNS, _TEXT, _ITEMS, _CLEANING, _SPLIT = "Columns", "Text files", "Items file", "Cleaning", "Split"


def _prepare(
    ctx: typer.Context,
    source: Annotated[
        Path | None, typer.Argument(help="Event log: CSV, TSV or other text, .gz or not, or .parquet.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default=False)] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="demo, kuairand, movielens, online-retail, recbole, sequence (`user item` a line).", show_default=False
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with these options.", show_default=False)] = None,
    name: Annotated[
        str | None, typer.Option(help="What the data set is called.", show_default="the folder's name")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a data set that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    user: Annotated[str | None, _text("Column of the user's id [default: user_id].", _COLUMNS)] = None,
    item: Annotated[str | None, _text("Column of the item's id [default: item_id].", _COLUMNS)] = None,
    time: Annotated[str | None, _text("Column of the time; without it the file's order counts.", _COLUMNS)] = None,
    time_unit: Annotated[str | None, _text("seconds, milliseconds, datetime [default: seconds].", _COLUMNS)] = None,
    time_format: Annotated[str | None, _text("Format of a datetime, as strftime's [default: ISO].", _COLUMNS)] = None,
    event_type: Annotated[str | None, _text("Column that says what happened.", _COLUMNS)] = None,
    dwell: Annotated[str | None, _text("Column of how long the user stayed.", _COLUMNS)] = None,
    dwell_unit: Annotated[str | None, _text("seconds, milliseconds [default: seconds].", _COLUMNS)] = None,
    clicks: Annotated[str | None, _text("Column of the number of clicks.", _COLUMNS)] = None,
    quantity: Annotated[str | None, _text("Column of the number of pieces.", _COLUMNS)] = None,
    value: Annotated[str | None, _text("Column of a price, rating or other worth.", _COLUMNS)] = None,
    keep: Annotated[str | None, _text("COLUMN=VALUE: only such rows count, as is_click=1.", _COLUMNS)] = None,
    separator: Annotated[
        str | None, _text("One or more characters, tab, space [default: by the file's ending].", _TEXT)
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first row names the columns.",
            rich_help_panel=_TEXT,
            show_default="header",
        ),
    ] = None,
    encoding: Annotated[str | None, _text("Such as latin-1 [default: utf-8].", _TEXT)] = None,
    skip_bad_rows: Annotated[
        bool | None,
        typer.Option(
            "--skip-bad-rows",
            help="Drop and count rows with a value of the wrong type, instead of stopping.",
            rich_help_panel=_TEXT,
            show_default=False,
        ),
    ] = None,
    items: Annotated[str | None, _text("File with titles and categories.", _ITEMS)] = None,
    item_id: Annotated[str | None, _text("Column of the item's id [default: as --item].", _ITEMS)] = None,
    title: Annotated[str | None, _text("Column of the title.", _ITEMS)] = None,
    categories: Annotated[str | None, _text("Column of the categories.", _ITEMS)] = None,
    category_separator: Annotated[str | None, _text("Between categories [default: |].", _ITEMS)] = None,
    item_columns: Annotated[
        str | None, _text("More columns to keep for models, as text,brand,price [default: none].", _ITEMS)
    ] = None,
    items_separator: Annotated[str | None, _text("As --separator.", _ITEMS)] = None,
    items_header: Annotated[
        bool | None,
        typer.Option(
            "--items-header/--no-items-header", help="As --header.", rich_help_panel=_ITEMS, show_default=False
        ),
    ] = None,
    items_encoding: Annotated[str | None, _text("As --encoding.", _ITEMS)] = None,
    min_user_events: Annotated[int | None, _text("k-core: drop users with fewer [default: 1].", _CLEANING)] = None,
    min_item_events: Annotated[int | None, _text("k-core: drop items with fewer [default: 1].", _CLEANING)] = None,
    winsorise: Annotated[
        float | None, _text("Percentile to lower outliers to, 100 = never [default: 99.5].", _CLEANING)
    ] = None,
    impute: Annotated[
        str | None, _text("Missing features: median, mean, interpolation [default: median].", _CLEANING)
    ] = None,
    repeats: Annotated[
        str | None, _text("Whether users meet items again: detect, yes, no [default: detect].", _CLEANING)
    ] = None,
    split: Annotated[str | None, _text("leave-one-out, global-time [default: leave-one-out].", _SPLIT)] = None,
    validation_fraction: Annotated[float | None, _text("Of a global-time split [default: 0.1].", _SPLIT)] = None,
    test_fraction: Annotated[float | None, _text("Of a global-time split [default: 0.1].", _SPLIT)] = None,
    validation_from: Annotated[str | None, _text("Date or time where validation starts.", _SPLIT)] = None,
    test_from: Annotated[str | None, _text("Date or time where test starts.", _SPLIT)] = None,
) -> None:
    from honeyguide import training

    flags = {name: value for name, value in ctx.params.items() if name != "json"}
    with stderr.status("preparing") as status:
        dataset = training.prepare(**flags, progress=lambda text: status.update(text))
    if json:
        print_json({"name": dataset.name, "counts": dataset.counts, **dataset.report})
    else:
        _show(dataset)
    print_next(f"honeyguide train cf {out} --out runs/cf")


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
        columns = ("missing", "fill", "winsorised", "lower", "upper", "mean", "std")
        features = [(f, *(figures[c] for c in columns)) for f, figures in report["features"].items()]
        print_table("features", ("feature", *columns), features)
    if report["item_columns"]:
        kept = [(name, column["kind"], column["missing"]) for name, column in report["item_columns"].items()]
        print_table("item columns", ("column", "kind", "missing"), kept)
    again = "users meet items again: nothing seen is masked" if report["repeats"] else "items do not repeat"
    unused = f"; columns not used: {', '.join(report['unused_columns'])}" if report["unused_columns"] else ""
    stderr.print(again + unused, highlight=False, markup=False, soft_wrap=True)
