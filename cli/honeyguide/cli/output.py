"""Prints tables, JSON and progress bars the same way in every verb."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

__all__ = [
    "print_json",
    "print_metrics",
    "print_next",
    "print_table",
    "print_warning",
    "progress",
    "stderr",
    "stdout",
    "working",
]

NOTHING = "–"
"""Stands in a cell that has no value."""
stdout = Console()
stderr = Console(stderr=True)


def print_json(value: Any) -> None:
    """Prints JSON for programs: no colour, no wrapping."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; numbers stand to the right."""
    cells_by_row = [list(row) for row in rows]
    if title:  # a table's own title would wrap at the table's width
        stdout.print(title, style="italic", highlight=False, markup=False, soft_wrap=True)
    table = Table(header_style="bold")
    for i, column in enumerate(columns):
        cells = [row[i] for row in cells_by_row if row[i] != NOTHING]
        numeric = bool(cells) and all(isinstance(cell, int | float) for cell in cells)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells_by_row:
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row))
    stdout.print(table)


def print_metrics(title: str, stages: Mapping[str, Mapping[str, float]]) -> None:
    """Prints metrics by stage, a column for each stage; not every stage need have every metric of the first."""
    names = list(next(iter(stages.values())))
    rows = [(name, *(stage.get(name, NOTHING) for stage in stages.values())) for name in names]
    print_table(title, ("metric", *stages), rows)


def print_next(command: str) -> None:
    """Says which verb comes next, on standard error so that ``--json`` stays clean."""
    stderr.print(f"[dim]next:[/] {command}", highlight=False, soft_wrap=True)


def print_warning(text: str) -> None:
    """Says what is worth a look, on standard error."""
    stderr.print("[yellow]warning:[/] ", end="")
    stderr.print(text, highlight=False, markup=False, soft_wrap=True)


def progress(unit: str) -> Progress:
    """Makes a progress bar with count, rate and time left, on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + " · {task.fields[rate]}"),
        TimeRemainingColumn(),
        console=stderr,
        transient=False,
    )


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Shows on standard error that something is being done; yields what changes the text."""
    with stderr.status(f"{text} …") as status:
        yield lambda stage: status.update(f"{stage} …")
