"""Names what work on the protocol's requests has in common: it is done in pieces, between other calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.oip.jobs import Job
from honeyguide.server.oip.statistics import Statistics

__all__ = ["Book", "Work"]


@dataclass(frozen=True, slots=True)
class Book:
    """Where it is noted what becomes of requests."""

    outcomes: Outcomes
    statistics: Statistics

    def finish(self, job: Job, rows: int) -> None:
        """Notes that so many more rows of a job were written."""
        job.finish(rows, self.outcomes, self.statistics)

    def fail(self, job: Job, error: Exception) -> None:
        """Ends a job with an error, unless it has ended."""
        job.fail(error, self.outcomes, self.statistics)


class Work(Protocol):
    """Rows of one or more jobs that one model computes."""

    @property
    def left(self) -> int:
        """Rows that are still to be computed."""
        ...  # pragma: no cover

    @property
    def jobs(self) -> Sequence[Job]:
        """Whose rows these are."""
        ...  # pragma: no cover

    def step(self, rows: int) -> None:
        """Computes some rows, about so many, one at least; raises whatever goes wrong."""
        ...  # pragma: no cover
