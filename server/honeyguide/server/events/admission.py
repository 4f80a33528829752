"""Says how long a write would wait for the disk, from how long the last ones took."""

from __future__ import annotations

__all__ = ["CommitSpeed"]

_MANY = 16
"""Events in a commit from which on its time tells what an event costs; below, it is what every commit costs."""
_KEPT = 0.9
"""Weight of the past in a moving mean, at each commit."""


class CommitSpeed:
    """Moving means of the seconds that every commit costs, that each of its events adds, and of how far that is off."""

    def __init__(self) -> None:
        self._fixed = 0.002
        self._error = 0.0  # of an estimate, as a part of it
        self._seconds, self._events = 0.0004, 20.0  # sums, so that the large commits, which tell most, weigh most

    def observe(self, events: int, seconds: float) -> None:
        """Learns from a commit of some events."""
        error = min(abs(seconds / self.estimate(events) - 1), 1) if events else 0.0
        self._error = _KEPT * self._error + (1 - _KEPT) * error
        if events < _MANY:
            self._fixed = _KEPT * self._fixed + (1 - _KEPT) * seconds
        else:
            self._seconds = _KEPT * self._seconds + max(seconds - self._fixed, 0)
            self._events = _KEPT * self._events + events

    def estimate(self, events: int) -> float:
        """Returns the seconds that a commit of so many events takes; of none: 0."""
        return self._fixed + self._seconds / self._events * events if events else 0.0

    def wait(self, writing: int, gone: float, queued: int) -> float:
        """Returns the most seconds that a call waits whose commit follows the one under way, had it come as that began.

        A call that comes later waits less, but the commit after grows meanwhile: so the two together are what counts.

        Args:
            writing: events of the commit under way, 0: there is none.
            gone: the seconds since it began.
            queued: events of the commit that follows.
        """
        factor = 1 + 2 * self._error
        return max(gone, factor * self.estimate(writing)) + factor * self.estimate(queued)
