"""Keeps requests away from what fails again and again, and tries by itself whether it works again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

__all__ = ["Circuit", "CircuitOptions"]


@dataclass(frozen=True, slots=True)
class CircuitOptions:
    """When a circuit opens, and for how long."""

    failures: int = 5
    """In a row that open it, 1 or more; 0: it never opens."""
    window_seconds: float = 10.0
    """Within which they have to come."""
    rest_seconds: float = 5.0
    """How long it stays open before one request probes."""


class Circuit:
    """Circuit breaker (M. Nygard, "Release It!", 2007): closed, open after failures, half-open for a probe.

    The probe's success closes it, its failure opens it for another rest; so does one that never comes back.
    Thread-safe.
    """

    def __init__(self, options: CircuitOptions, clock: Callable[[], float] = monotonic) -> None:
        """Begins closed; ``clock`` gives seconds."""
        self._options, self._clock = options, clock
        self._failures: deque[float] = deque(maxlen=max(options.failures, 1))
        self._opened: float | None = None  # or the last probe began
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether it keeps requests away, but for a probe."""
        return self._opened is not None

    def allows(self) -> bool:
        """Says whether a request may pass; one that may when it is open is the probe, and must tell how it went."""
        with self._lock:
            if self._opened is None:
                return True
            now = self._clock()
            if now - self._opened < self._options.rest_seconds:
                return False
            self._opened = now
            return True

    def failed(self) -> bool:
        """Notes a failure; returns whether that has opened it."""
        with self._lock:
            now = self._clock()
            if self._opened is not None:
                self._opened = now
                return False
            self._failures.append(now)
            most = self._options.failures
            if not most or len(self._failures) < most or now - self._failures[0] > self._options.window_seconds:
                return False
            self._opened = now
            return True

    def succeeded(self) -> bool:
        """Notes a success, after which failures are counted anew; returns whether that has closed it."""
        with self._lock:
            self._failures.clear()
            was_open, self._opened = self._opened is not None, None
            return was_open
