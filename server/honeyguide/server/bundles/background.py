"""Does what takes long beside the threads that answer: on a thread of its own, which the others go before."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

__all__ = ["in_background", "retire"]

T = TypeVar("T")
_NICE = 5
"""A third of the share of a thread that answers, where both want a core. Lower gained nothing for those who answer, and
where other processes kept the cores busy a load took four (10) to seven (19) times as long, not 1.6 times."""
_OURS = 3
"""References to an object that nobody else holds: of two frames and of the call that counts them."""
_PATIENCE = 2.0
"""Seconds until whoever still holds a retired object is left to free it."""


def in_background(work: Callable[[], T], *, quiet: bool = True) -> T:
    """Returns what the work returns, done on a new thread of low priority.

    Args:
        work: what to do.
        quiet: whether its priority is lowered. Threads that it starts inherit that, and keep it.
    """
    with ThreadPoolExecutor(1, "honeyguide-background", partial(_lower, quiet)) as pool:
        return pool.submit(work).result()


def retire(*replaced: object) -> None:
    """Frees what was replaced on a thread of low priority, as soon as no batch computes with it, and returns at once.

    Otherwise whoever let go of it last would free it: a thread that answers.
    """
    threading.Thread(target=_retire, args=(list(replaced),), name="honeyguide-retire", daemon=True).start()


def _retire(replaced: list[object]) -> None:
    _lower(True)
    until = time.monotonic() + _PATIENCE
    while replaced:
        one = replaced.pop()
        while sys.getrefcount(one) >= _OURS and time.monotonic() < until:
            time.sleep(0.05)
        del one
    _trim()


def _lower(quiet: bool) -> None:
    """Lowers the priority of this thread, where the system has one for each: on Linux."""
    if quiet and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _trim() -> None:
    """Gives freed memory back to the system: glibc keeps what was once used, in an arena for each thread."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
