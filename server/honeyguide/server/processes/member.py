"""Runs one of the processes that serve on one port: a whole server, which tells its supervisor what changes.

Started as ``python -m honeyguide.server.processes.member NUMBER``, with the number of the socket to the supervisor.
"""

# what takes a second is loaded when the line is open, so that a failure is told
from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.processes.line import Line, Message

if TYPE_CHECKING:
    from honeyguide.server.api.peers import Change
    from honeyguide.server.app import Server

__all__ = ["run_member"]


async def run_member(fileno: int) -> None:
    """Serves until the supervisor hangs up, or SIGTERM comes."""
    member = _Member()
    member.line = await Line.open(fileno, member.answer)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    waits = [asyncio.create_task(member.line.closed()), asyncio.create_task(stop.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if member.server is not None:
        await member.server.stop()
    member.line.close()


class _Member:
    """What one process does for its supervisor, and asks of it; see `Peers`."""

    line: Line
    server: Server | None = None
    _changed: Server | None = None
    """The server, also while it starts."""

    async def answer(self, request: Message) -> Message:
        """Does what the supervisor asks: start, make a change, or give the metrics."""
        if "settings" in request:
            return await self._start(request)
        if "change" in request and self._changed is not None:
            await self._changed.apply(request["change"])
            return {}
        if self.server is None:
            return {"metrics": ""}
        from prometheus_client import generate_latest

        return {"metrics": generate_latest(self.server.metrics.registry).decode()}

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """See `Peers`; it is not to be cancelled while it waits, as `to_its_end` sees to."""
        await self.line.ask({"turn": True})
        try:
            yield
        finally:
            await self.line.ask({"turn": False})

    async def join(self) -> None:
        """See `Peers`."""
        await self.line.ask({"join": True})

    async def tell(self, change: Change) -> None:
        """See `Peers`."""
        await self.line.ask({"change": change})

    async def _start(self, request: Message) -> Message:
        from honeyguide.server.app import Server
        from honeyguide.server.ops.logs import configure_logs
        from honeyguide.server.settings import make_settings

        settings = make_settings(**request["settings"])
        configure_logs(settings.log_level, settings.log_format, request["number"])
        self._changed = server = Server(settings, peers=self)
        try:
            await server.__aenter__()
        except ConfigError as error:
            return {"refused": error.message}
        self.server = server
        return {"lines": server.summary()}


if __name__ == "__main__":
    asyncio.run(run_member(int(sys.argv[1])))
