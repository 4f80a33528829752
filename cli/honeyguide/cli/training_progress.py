"""Shows how far a training is: bars on a terminal, in a file or a pipe a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from honeyguide.cli.output import stderr

if TYPE_CHECKING:
    from honeyguide.training.fit.progress import OnProgress
    from honeyguide.training.fit.progress import Progress as Report

__all__ = ["Pace", "training_progress"]

_TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Pace:
    """How much of a training is done, and what the rest may take."""

    place: int
    """Of the phase, from 1."""
    phase_epochs: float
    """Done in this phase, with fractions."""
    total_epochs: float
    """Done and skipped in the whole training: a phase that stopped early is done."""
    all_epochs: int
    """The most there will be in the whole training."""
    gone: timedelta
    left: timedelta | None
    """At most: phases may stop early. Those to come are taken to be as quick an epoch as this one. None at a phase's
    first report: what came before it was set-up, which says nothing of an epoch."""

    @property
    def times(self) -> str:
        """What is gone and what is left, in words."""
        return f"{self.gone} gone" + ("" if self.left is None else f", at most {self.left} left")


class _Clock:
    """Stop watch of a training and of its phase."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begun = self._phase_begun = now()
        self._phase, self._done_at_first = "", 0.0

    def pace(self, report: Report) -> Pace:
        """Returns how far a training is that has just reported."""
        now = self._now()
        plan = report.plan or {report.phase: report.epochs}
        place = list(plan).index(report.phase)
        done = report.epoch - 1 + report.batch / report.batches
        before, total = sum(list(plan.values())[:place]), sum(plan.values())
        if report.phase != self._phase:
            self._phase, self._phase_begun, self._done_at_first = report.phase, now, done
        left = None
        if done > self._done_at_first:
            each = (now - self._phase_begun) / (done - self._done_at_first)
            left = timedelta(seconds=round(each * (total - before - done)))
        return Pace(place + 1, done, before + done, total, timedelta(seconds=round(now - self._begun)), left)


@contextmanager
def training_progress(
    console: Console = stderr, *, every: float = 10.0, now: Callable[[], float] = time.monotonic
) -> Iterator[OnProgress]:
    """Yields what shows a training's reports.

    Args:
        console: where to; bars where it is a terminal, else lines.
        every: seconds between lines; the first of a phase comes at once.
        now: a clock in seconds.
    """
    clock = _Clock(now)
    if console.is_terminal:
        with _bars(console, clock) as show:
            yield show
    else:
        yield _lines(console, clock, every, now)


def _lines(console: Console, clock: _Clock, every: float, now: Callable[[], float]) -> OnProgress:
    phase, due = "", 0.0

    def show(report: Report) -> None:
        nonlocal phase, due
        pace = clock.pace(report)
        if report.phase == phase and now() < due:
            return
        phase, due = report.phase, now() + every
        phases = f" (phase {pace.place} of {len(report.plan)})" if len(report.plan) > 1 else ""
        console.print(
            f"{phase}{phases}: epoch {report.epoch} of at most {report.epochs}, batch {report.batch} of "
            f"{report.batches}, best NDCG@10 {report.score:.4f}; {pace.times}",
            soft_wrap=True,
        )

    return show


@contextmanager
def _bars(console: Console, clock: _Clock) -> Iterator[OnProgress]:
    """Shows a bar for each phase and one for the whole."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[note]}"))
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as bars:
        ready = bars.add_task("getting ready", total=None, note="")

        def show(report: Report) -> None:
            pace = clock.pace(report)
            plan = report.plan or {report.phase: report.epochs}
            if not tasks:
                bars.remove_task(ready)
                tasks.update({phase: bars.add_task(phase, total=epochs, note="") for phase, epochs in plan.items()})
                tasks[_TOTAL] = bars.add_task(_TOTAL, total=pace.all_epochs, note="")
            for phase in list(plan)[: pace.place - 1]:
                bars.update(tasks[phase], completed=plan[phase])  # it may have stopped early
            note = f"epoch {report.epoch} of at most {report.epochs} · best NDCG@10 {report.score:.4f}"
            bars.update(tasks[report.phase], completed=pace.phase_epochs, note=note)
            bars.update(tasks[_TOTAL], completed=pace.total_epochs, note=pace.times)

        yield show
        for task in bars.tasks:
            bars.update(task.id, completed=task.total)
