"""Answers health checks, and lets nobody who watches hold up the stop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from grpc_health.v1.health import aio

__all__ = ["HealthServicer"]

_LAST_WORD_SECONDS = 0.2


class HealthServicer(aio.HealthServicer):
    """The library's servicer, but for watches: they end when the server stops, after their last NOT_SERVING.

    The library's go on until the client leaves, so that a stop would wait for them as long as it waits for any call.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stopping = asyncio.Event()

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802  # the rpc's name
        """Streams a service's status until the client leaves or the server stops."""
        watch = asyncio.ensure_future(super().Watch(request, context))
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({watch, stop}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({watch}, timeout=_LAST_WORD_SECONDS)
        finally:
            for task in (watch, stop):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def enter_graceful_shutdown(self) -> None:
        """Says NOT_SERVING of everything from now on, and ends the watches."""
        await super().enter_graceful_shutdown()
        self._stopping.set()
