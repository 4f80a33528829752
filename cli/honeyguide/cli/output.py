"""Prints tables, JSON, progress bars and the next command the same way in every verb; data is never more than text."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from honeyguide.answers.plain_text import plain_json, plain_text

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


class _PlainConsole(Console):
    """Console to which text is text, wherever it comes from: it reads no markup, and lets nothing out that acts."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False)

    def print(self, *objects: Any, **how: Any) -> None:
        """Prints as rich does, which would drop some of what `plain_text` escapes."""
        super().print(*(plain_text(each) if isinstance(each, str) else each for each in objects), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Renders as rich does; what rich itself tells the terminal, such as where to go, passes."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain_text(segment.text), segment.style)


stdout = _PlainConsole()
stderr = _PlainConsole(stderr=True)


def print_json(value: Any) -> None:
    """Prints JSON for programs: no colour, no wrapping."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(plain_json(value, ascii_only=not unicode, indent=2))


def print_line(text: str) -> None:
    """Prints one line of the result."""
    stdout.print(text, soft_wrap=True)


def print_note(label: str, text: str, style: str = "yellow") -> None:
    """Prints ``label: text`` on standard error; further lines are indented, so that none passes for a note."""
    stderr.print(Text(f"{_indented(label)}:", style) + Text(_indented(f" {text}")), soft_wrap=True)


def print_warning(text: str) -> None:
    """Says what is worth a look, on standard error."""
    print_note("warning", text)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; numbers stand to the right. Where words would be broken, prints ``column: value`` lines."""
    cells_by_row = [list(row) for row in rows]
    if title:  # a table's own title would wrap at the table's width
        stdout.print(title, style="italic", soft_wrap=True)
    texts = [[_cell(value) for value in row] for row in cells_by_row]
    widths = _widths([list(column) for column in zip(map(plain_text, columns), *texts, strict=True)], stdout.width)
    if widths is None:
        _print_records(columns, texts)
        return
    table = Table(header_style="bold")
    for i, column in enumerate(columns):
        cells = [row[i] for row in cells_by_row if row[i] != NOTHING]
        numeric = bool(cells) and all(isinstance(cell, int | float) for cell in cells)
        table.add_column(Text(plain_text(column)), justify="right" if numeric else "left", width=widths[i])
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
                label = Text(f"{column}: " if column else "", "bold")
                stdout.print(label + Text(_indented(value)), soft_wrap=True)
        stdout.print()


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else plain_text(str(value))


def _indented(text: str) -> str:
    return re.sub(r"\n(?! )", "\n  ", plain_text(text))


def print_metrics(title: str, stages: Mapping[str, Mapping[str, float]]) -> None:
    """Prints metrics by stage, a column for each stage; not every stage need have every metric of the first."""
    names = list(next(iter(stages.values())))
    rows = [(name, *(stage.get(name, NOTHING) for stage in stages.values())) for name in names]
    print_table(title, ("metric", *stages), rows)


def command_line(*words: object, **options: object) -> str:
    """Returns a command of ours as a shell reads it: the words, then each option that is not None; True: a flag.

    Example: ``command_line("record", user, item, server="host:1")``.
    """
    verbs_and_values = [str(word) for word in words]
    flags = [
        part
        for name, value in options.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", *(() if value is True else (str(value),)))
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
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + " · {task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
        console=stderr,
        transient=False,
    )


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Shows on standard error that something is being done; yields what changes the text."""
    with stderr.status(Text(f"{text} …")) as status:
        yield lambda stage: status.update(Text(f"{stage} …"))
