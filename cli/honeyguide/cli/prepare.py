"""Adds the verb ``prepare``: from a raw event log to a data set."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli.output import command_line, print_json, print_next, print_table, print_warning, stderr, working
from honeyguide.cli.prepare_flags import data_flags

if TYPE_CHECKING:
    from honeyguide.training.dataset import Dataset

__all__ = ["add_to"]

EXAMPLES = """Turns a raw event log into a data set: reads, cleans, splits, and says what was dropped and why.

[bold]Examples[/]

  honeyguide prepare --preset demo --out data/demo

  honeyguide prepare ratings.dat --preset movielens --items movies.dat --out data/ml-1m

  honeyguide prepare log.csv --user uid --item sku --time ts --dwell stay --min-item-events 5 --out data/shop

  honeyguide prepare logs/*.jsonl --where 'type in (view, purchase)' --since 2024-01-01 --out data/shop

  honeyguide prepare --config shop.toml

The TOML file holds the flags by name, with "_" for "-": [cyan]source = "log.csv"[/] and so on. Flags win over the file,
the file over the preset. Columns of a text file without header are called "1", "2", …
"""
_PRESETS = (
    "anime, book-crossing, demo, kuairand, movielens, online-retail, recbole, retailrocket, "
    "sequence (`user item` a line), sequences (`user item item …`), steam."
)


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
        list[Path] | None,
        typer.Argument(help="Event log: text, JSON lines, gzip or not, or Parquet; several, a folder, or a glob."),
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
        for warning in dataset.report["warnings"]:
            print_warning(warning)
    else:
        _show(dataset)
    if dataset.report["options"]["trainable"]:
        print_next(command_line("train", "cf", dataset.folder, out="runs/cf"))
    else:  # perhaps no model can learn from it
        print_next(command_line("events", "import", dataset.folder, events="events.db"))


def _show(dataset: Dataset) -> None:
    """Prints the report as tables."""
    report, counts = dataset.report, dataset.counts
    rows: list[tuple[object, ...]] = [("read", report["read"], "")]
    rows += [(f"dropped: {d['reason']}", d["events"], d["example"]) for d in report["dropped"]]
    rows += [("kept", report["kept"], f"{counts['users']:,} users, {counts['items']:,} items")]
    print_table(f"{dataset.name}: {report['seconds']:.1f} s", ("", "events", "example"), rows)
    print_table("profile", ("", ""), _profile(dataset))
    begins = report["split_begins"]
    parts = [
        (part, counts[part], *([begins.get(part, "")] if begins else [])) for part in ("train", "validation", "test")
    ]
    print_table(f"split: {dataset.protocol}", ("part", "events", *(["from"] if begins else [])), parts)
    if report["features"]:
        names = ("missing", "fill", "winsorised", "lower", "upper", "mean", "std")
        features = [(f, *(figures[name] for name in names)) for f, figures in report["features"].items()]
        print_table("features", ("feature", *names), features)
    if report["item_columns"]:
        columns = [(name, column["kind"], column["missing"]) for name, column in report["item_columns"].items()]
        print_table("item columns", ("column", "kind", "missing"), columns)
    if report["unused_columns"]:
        unused = f"columns not used: {', '.join(report['unused_columns'])}"
        stderr.print(unused, soft_wrap=True)
    for warning in report["warnings"]:
        print_warning(warning)


def _profile(dataset: Dataset) -> list[tuple[str, str]]:
    """Returns the figures of the profile as text, by name."""
    figures, read_as = dataset.report["profile"], dataset.report["read_as"]
    repeats, each, join = figures["repeats"], figures["events_per_user"], figures["join"]
    rows = [("read as", _read_as(read_as))]
    if figures["time_range"]:
        rows.append(("time", " to ".join(figures["time_range"])))
    rows.append(("events per user", ", ".join(f"{name} {value:,.0f}" for name, value in each.items())))
    rows.append(("sparsity", f"{figures['sparsity']:.4%} of user-item pairs have no event"))
    decision = "items repeat, nothing seen is masked" if dataset.spec.repeats else "items do not repeat"
    rows.append(
        (
            "repeats",
            f"{repeats['share']:.2%} returns (threshold {repeats['threshold']:.0%}), {repeats['in_succession']:,} "
            f"events in direct succession; decided {repeats['decided']}: {decision}"
            + (f"; merged: {repeats['merge']}" if repeats["merge"] else "")
            + (f" by {_strength(repeats['strength'])}" if "strength" in repeats else ""),
        )
    )
    if join:
        rows.append(
            (
                "items file",
                f"{join['joined']:,} of {join['of_log']:,} items of the log found, {join['never_seen']:,} never seen",
            )
        )
    rows.append(("cold items", f"{figures['cold_items']:.1%} have no training event"))
    if figures["top_categories"]:
        rows.append(("categories", ", ".join(f"{name} {n:,}" for name, n in figures["top_categories"].items())))
    return rows


def _strength(given: str | Mapping[str, float]) -> str:
    return given if isinstance(given, str) else ", ".join(f"{name} {weight:g}" for name, weight in given.items())


def _read_as(facts: Mapping[str, Any]) -> str:
    """Says how the files were understood."""
    words = [f"{facts['files']} × {facts['kind']}" if facts["files"] > 1 else str(facts["kind"])]
    if "separator" in facts:
        words.append(f"{facts['separator']!r} between fields" + " (detected)" * facts["separator_detected"])
    words += [str(facts["encoding"])] if "encoding" in facts else []
    words += ["gzip"] if facts.get("gzip") else []
    words += [f"times in {facts['time_unit']}".replace("in datetime", "as dates")] if "time_unit" in facts else []
    return ", ".join(words)
