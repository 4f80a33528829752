"""What a fault is, what trying it gives, and the list of all."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faults.server import FaultServer

__all__ = ["Bench", "Fault", "Outcome"]

_SHOWN = 10
"""Problems that a result names; the others are counted."""


@dataclass
class Outcome:
    """What became of one fault: figures, and whatever is not as its bound says."""

    figures: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    count: int = 0
    """How many problems there were in all."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    seen: str = ""
    """What happened, for a table: made from the figures unless it is set."""

    def expect(self, holds: object, problem: str) -> None:
        """Notes a problem unless the first holds."""
        if not holds:
            with self._lock:
                self.count += 1
                if len(self.problems) < _SHOWN:
                    self.problems.append(problem)

    def add(self, **figures: float) -> None:
        """Adds to the figures; any thread may."""
        with self._lock:
            for name, value in figures.items():
                self.figures[name] = self.figures.get(name, 0) + value

    @property
    def happened(self) -> str:
        """What happened in a line."""
        return self.seen or ", ".join(f"{_number(value)} {name}" for name, value in self.figures.items())


@dataclass(frozen=True)
class Bench:
    """What a fault is tried with."""

    folder: Path
    """Empty, of this fault alone."""
    models: Path
    """The repository that `material.make` filled: copy it to change it."""
    transport: str
    """`native` or `grpcio`."""
    short: bool
    """Whether it is the form for CI."""

    def amount(self, long: int, short: int) -> int:
        """Returns how much is to be tried."""
        return short if self.short else long

    @property
    def random(self) -> random.Random:
        """Returns chance that is the same in every run."""
        return random.Random(self.transport)  # noqa: S311  # not for secrets

    def server(self, name: str = "server", **settings: object) -> FaultServer:
        """Returns a server of this transport with a folder of its own; ``with`` starts it."""
        own: Mapping[str, object] = {"repository": str(self.models), "transport": self.transport} | settings
        return FaultServer(self.folder / name, own)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong in the world."""

    name: str
    """As `--only` takes it and `docs/operations.md` calls it."""
    tried: str
    """What is done, for the table."""
    bound: str
    """What must hold."""
    run: Callable[[Bench], Outcome]
    transports: tuple[str, ...] = ("native", "grpcio")
    """Those it is tried on in the long form; the short form takes the first, or those of ``briefly``."""
    briefly: tuple[str, ...] = ("native",)
    """Those it is tried on in the short form; none: it is left out."""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
