"""Ends the program on SIGTERM and SIGINT: gently at the first, at once at the second."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial

import structlog

__all__ = ["stop_on_signals"]


def stop_on_signals(stop: asyncio.Event, at_once: Callable[[], None] = lambda: None) -> None:
    """Lets the first signal set ``stop``, and the second end the process with the code 128 + its number (130, 143).

    Acknowledged events are on disk by then; calls under way are cut off, and exposures not yet written are lost.

    Args:
        stop: says that the server is to stop.
        at_once: called before the process ends at once.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows has no handlers on the loop; there Ctrl-C cancels the task, and the server stops all the same.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, partial(_came, number, stop, at_once))


def _came(number: int, stop: asyncio.Event, at_once: Callable[[], None]) -> None:
    log = structlog.get_logger("honeyguide.server")
    if not stop.is_set():
        stop.set()
        return
    log.warning("ended at once, at a second signal; calls under way are cut off", signal=signal.Signals(number).name)
    at_once()
    os._exit(128 + number)
