"""Keeps two processes from working on one folder at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from honeyguide.sdk.errors import DataError
from honeyguide.training.target_folder import writing

__all__ = ["sole_use"]


@contextmanager
def sole_use(folder: Path, lock: Path, work: str) -> Iterator[None]:
    """Holds the lock of a folder as long as work is under way, and removes it then.

    The system releases it where the process dies: a lock file that is left behind holds nobody up.

    Args:
        folder: what is worked on, for the message.
        lock: the lock's file, in the folder or beside it; its folder is made, and removed again if it stays empty.
        work: what is under way, such as "training".

    Raises:
        DataError: another process, which is named, or another thread works on it.
    """
    from filelock import FileLock, Timeout

    home = lock.parent
    made = not home.exists()
    with writing(lock, "the lock"):
        home.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock, blocking=False)
        try:
            held.acquire()
        except Timeout:
            raise DataError(
                f"another {work} works on this now{_holder(lock)}",
                file=str(folder),
                remedy="wait until it has ended, or choose another folder",
            ) from None
    try:
        with suppress(OSError):  # it is only for the message
            lock.write_text(f"{os.getpid()}\n", "utf-8")
        yield
    finally:
        with suppress(OSError):  # where a file that is open cannot be removed, it stays and does no harm
            lock.unlink()
        held.release()
        if made:
            with suppress(OSError):  # nothing came of it, unless it holds something
                home.rmdir()


def _holder(lock: Path) -> str:
    try:
        return f" (process {int(lock.read_text('utf-8'))})"
    except (OSError, ValueError):
        return ""
