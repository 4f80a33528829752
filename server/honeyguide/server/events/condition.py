"""Remembers what ails a store of events until it is seen to be well, and logs each change once."""

from __future__ import annotations

import structlog

__all__ = ["StoreCondition"]


class StoreCondition:
    """What is wrong with reading, with writing, and with what lies on the disk; any thread may tell it or ask.

    A read or a write that works again ends what was said of it. Damage does not end: that one page is sound says
    nothing of another.
    """

    def __init__(self) -> None:
        self._reading = self._writing = self._damage = ""
        self._log = structlog.get_logger("honeyguide.events")

    @property
    def problem(self) -> str:
        """What is wrong, for operators; "": nothing that is known."""
        return "; ".join(dict.fromkeys(filter(None, (self._writing, self._damage, self._reading))))

    @property
    def cannot_write(self) -> bool:
        """Whether the last write failed."""
        return bool(self._writing)

    @property
    def cannot_read(self) -> bool:
        """Whether the last read failed."""
        return bool(self._reading)

    def damaged(self, problem: str) -> None:
        """Says that a part of what is stored is no longer what was written."""
        if not self._damage:  # one line: each user whose part it is would bring another
            self._damage = problem
            self._log.error("events are damaged", problem=problem)

    def read_failed(self, problem: str) -> None:
        """Says that nothing can be read."""
        if self._reading != problem:
            self._reading = problem
            self._log.error("events not read", problem=problem)

    def read_well(self) -> None:
        """Says that a read worked."""
        if self._reading:
            self._reading = ""
            self._log.info("events are read again")

    def write_failed(self, problem: str) -> None:
        """Says that events cannot be stored."""
        if self._writing != problem:
            self._writing = problem
            self._log.error("events not stored", problem=problem)

    def write_well(self) -> None:
        """Says that a write worked."""
        if self._writing:
            self._writing = ""
            self._log.info("events are stored again")
