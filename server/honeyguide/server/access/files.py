"""Notices that files changed, at the cost of one look a second."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from time import monotonic

__all__ = ["WatchedFiles"]

_SECONDS = 1.0


class WatchedFiles:
    """Files that somebody may replace while the server runs; thread-safe.

    They are looked at when somebody asks: no thread, and no notices of the kernel, which say nothing of what Kubernetes
    does to mounted secrets (it moves a link above them).
    """

    def __init__(self, paths: Iterable[Path], seconds: float = _SECONDS) -> None:
        """Looks at them for the first time; what is read from now on is at least as new.

        Args:
            paths: the files.
            seconds: between two looks, at least.
        """
        self._paths, self._seconds = tuple(paths), seconds
        self._lock = threading.Lock()
        self._seen = self._look()
        self._next = monotonic() + seconds

    def changed(self) -> bool:
        """Says whether a file is another than at the last look; each change is told once."""
        if monotonic() < self._next or not self._lock.acquire(blocking=False):
            return False
        try:
            self._next = monotonic() + self._seconds
            seen, self._seen = self._seen, self._look()
            return seen != self._seen
        finally:
            self._lock.release()

    def _look(self) -> tuple[tuple[int, ...] | None, ...]:
        return tuple(map(_mark, self._paths))


def _mark(path: Path) -> tuple[int, ...] | None:
    """Returns what differs after a change, also one of the mode or the owner; None: there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
