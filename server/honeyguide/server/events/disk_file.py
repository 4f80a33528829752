"""Knows the files of an open event store on the disk: whether they are still those that were opened, and whose."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["EventFile", "close_to_others", "holders_of"]

_BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a file while it is open."""
_PROCESSES = Path("/proc")


class EventFile:
    """A store's file and what lies beside it, as they were when it was opened.

    Who unlinks or replaces one of them while it is open takes away what is written from then on: SQLite goes on writing
    to what no longer has a name.
    """

    def __init__(self, path: Path) -> None:
        """Notes which files these are; they are open."""
        self.path = path
        self._paths = [str(path), *(f"{path}{end}" for end in _BESIDE)]
        self._known = [self._identity(each) for each in self._paths]

    def problem(self) -> str:
        """Says which of the files is no longer the one that was opened; "": they all are. Takes microseconds."""
        for path, known in zip(self._paths, self._known, strict=True):
            identity = self._identity(path)
            if identity != known:
                what = "is gone" if identity is None else "is another file now"
                return f"{os.path.basename(path)} {what}: it was removed or replaced while in use; restart the server"  # noqa: PTH119  # a Path costs as much as all the rest
        return ""

    @staticmethod
    def _identity(path: str) -> tuple[int, int] | None:
        try:
            found = os.stat(path)  # noqa: PTH116  # as above
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if found.st_size or path.endswith(_BESIDE) else None


def close_to_others(path: Path) -> None:
    """Makes a missing file with mode 0600, and takes one that everybody may read from everybody but its owner.

    What SQLite keeps beside it gets its mode. A file that is open to its group alone was made so on purpose.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    if (mode := path.stat().st_mode) & 0o007:
        for end in ("", *_BESIDE):
            # Who does not own it may use it all the same; what is not there gets the file's mode.
            with contextlib.suppress(PermissionError, FileNotFoundError):
                Path(f"{path}{end}").chmod(mode & 0o700)


def holders_of(path: Path) -> str:
    """Names the other processes that have a file open, as far as this one may know; "": none it knows."""
    found = []
    for process in _PROCESSES.glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and any(each.samefile(path) for each in (process / "fd").iterdir()):
                name = (process / "comm").read_text("utf-8", "replace").strip()
                found.append(f"{process.name} ({name})")
        except OSError:
            continue
    return ", ".join(found)
