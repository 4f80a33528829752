"""Erases the names of items and event types that lost their last event with the user who was deleted.

No index says which events name an item, for it would cost every write as much again as the event itself. A deletion
notes the names that may have become nobody's; a thread of its own then reads through the events once and erases those
that did.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

__all__ = ["Leftover", "NameEraser"]


class Leftover(NamedTuple):
    """Name that may be nobody's any more."""

    table: str
    """ "items" or "types"."""
    number: int
    commit: int
    """When it was noted last; a name that is noted again meanwhile is looked for again."""


class NameEraser:
    """Thread that erases what deletions left; a deletion is done when nothing of it is left."""

    def __init__(self, find: Callable[[], tuple[list[Leftover], list[Leftover]]], erase: Callable[..., None]) -> None:
        """Erases what a former process left, if any.

        Args:
            find: reads which of the names that were noted no event has, and which one has; may take long.
            erase: erases the former and forgets the latter; returns when it is on disk.
        """
        self._find, self._erase = find, erase
        self._thread = ThreadPoolExecutor(1, "honeyguide-erase")
        self._thread.submit(self._run)

    def close(self) -> None:
        """Waits for what is being erased."""
        self._thread.shutdown()

    def run(self) -> None:
        """Erases what was left so far; returns when it is on disk."""
        self._thread.submit(self._run).result()

    def after(self, deletion: Future[int]) -> Future[int]:
        """Returns a future that has the result of a deletion when what it left is erased, too."""
        whole: Future[int] = Future()

        def finish() -> None:
            try:
                self._run()
            except Exception as error:  # boundary: an error of the disk; the next deletion or start tries again
                whole.set_exception(error)
            else:
                whole.set_result(deletion.result())

        def deleted(_: Future[int]) -> None:
            if not whole.set_running_or_notify_cancel():
                return
            error = deletion.exception()
            if error is None:
                self._thread.submit(finish)
            else:
                whole.set_exception(error)

        whole.add_done_callback(lambda done: deletion.cancel() if done.cancelled() else None)
        deletion.add_done_callback(lambda done: None if done.cancelled() else deleted(done))
        return whole

    def _run(self) -> None:
        unused, used = self._find()
        if unused or used:  # else there was nothing to delete, or a former run took it along
            self._erase(unused, used)
