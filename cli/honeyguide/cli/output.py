"""Prints tables, JSON, progress bars and the next command the same way in every verb; data is never read as markup."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

__all__ = [
    "command_line",
    "print_json",
    "print_line",
    "print_metrics",
    "print_next",
    "print_note",
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
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, indent=2, ensure_ascii=not unicode, default=str))


def print_line(text: str) -> None:
    """Prints one line of the result as it is."""
    stdout.print(text, highlight=False, markup=False, soft_wrap=True)


def print_note(label: str, text: str, style: str = "yellow") -> None:
    """Prints ``label: text`` on standard error."""
    stderr.print(Text(f"{label}:", style) + Text(f" {text}"), highlight=False, soft_wrap=True)


def print_warning(text: str) -> None:
    """Says what is worth a look, on standard error."""
    print_note("warning", text)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; numbers stand to the right. Where words would be broken, prints ``column: value`` lines."""
    cells_by_row = [list(row) for row in rows]
    if title:  # a table's own title would wrap at the table's width
        stdout.print(title, style="italic", highlight=False, markup=False, soft_wrap=True)
    texts = [[_cell(value) for value in row] for row in cells_by_row]
    widths = _widths([list(column) for column in zip(columns, *texts, strict=True)], stdout.width)
    if widths is None:
        _print_records(columns, texts)
        return
    table = Table(header_style="bold")
    for i, column in enumerate(columns):
        cells = [row[i] for row in cells_by_row if row[i] != NOTHING]
        numeric = bool(cells) and all(isinstance(cell, int | float) for cell in cells)
        table.add_column(Text(column), justify="right" if numeric else "left", width=widths[i])
    for row in texts:
        table.add_row(*map(Text, row))
    stdout.print(table)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Narrows the widest columns to fit, none below its longest word as rich would; None where that cannot be."""
    least = [max(cell_len(word) for text in column for word in text.split() or [""]) for column in columns]
    most = [max(cell_len(line) for text in column for line in text.splitlines() or [""]) for column in columns]
    space = room - (3 * len(columns) + 1)  # a border and a space on each side
    if sum(least) > space:
        return None
    widths = [min(width, space) for width in most]
    while sum(widths) > space:
        widest = max((i for i, width in enumerate(widths) if width > least[i]), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _print_records(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if len(columns) == 2:  # names and their values
        columns, rows = [row[0] for row in rows], [[row[1] for row in rows]]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            if value not in ("", NOTHING):
                stdout.print(Text(f"{column}: " if column else "", "bold") + Text(value), soft_wrap=True)
        stdout.print()


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def print_metrics(title: str, stages: Mapping[str, Mapping[str, float]]) -> None:
    """Prints metrics by stage, a column for each stage; not every stage need have every metric of the first."""
    names = list(next(iter(stages.values())))
    rows = [(name, *(stage.get(name, NOTHING) for stage in stages.values())) for name in names]
    print_table(title, ("metric", *stages), rows)


def command_line(*words: object, **options: object) -> str:
    """Returns a command of ours as a shell reads it: the words, then each option that is not None.

    Example: ``command_line("record", user, item, server="host:1")``.
    """
    verbs_and_values = [str(word) for word in words]
    flags = [
        part
        for name, value in options.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    if any(word.startswith("-") for word in verbs_and_values):  # an id, which would be taken for an option
        return shlex.join(["honeyguide", verbs_and_values[0], *flags, "--", *verbs_and_values[1:]])
    return shlex.join(["honeyguide", *verbs_and_values, *flags])


def print_next(command: str) -> None:
    """Says which command comes next, on standard error so that ``--json`` stays clean."""
    print_note("next", command, "dim")


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
    with stderr.status(Text(f"{text} …")) as status:
        yield lambda stage: status.update(Text(f"{stage} …"))
