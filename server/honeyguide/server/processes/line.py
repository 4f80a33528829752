"""Carries requests and their replies both ways between the supervisor and one process, as lines of JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from honeyguide.sdk.errors import Unavailable

__all__ = ["Handle", "Line", "Message"]

Message = dict[str, Any]
Handle = Callable[[Message], Awaitable[Message]]
"""Answers a request of the other side; an error it raises reaches the other side by its words."""

_MOST_BYTES = 64 << 20
"""Of one line: the metrics of a process are the longest."""


class Line:
    """One end of a connection on which each side asks and answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handle) -> None:
        """Starts to read at once; must be made on the event loop."""
        self._writer, self._handle = writer, handle
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._handling: set[asyncio.Task[None]] = set()
        self._reading = asyncio.create_task(self._read(reader))

    @classmethod
    async def open(cls, fileno: int, handle: Handle) -> Line:
        """Opens the end of a socket pair, by its number."""
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=fileno), limit=_MOST_BYTES)
        return cls(reader, writer, handle)

    @property
    def is_open(self) -> bool:
        """Whether the other side is there."""
        return not self._reading.done()

    async def ask(self, request: Message) -> Message:
        """Returns what the other side answers; raises `Unavailable` where it cannot, or is gone."""
        if not self.is_open:
            raise Unavailable("the process is gone")
        number = next(self._numbers)
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        self._send({"request": number, **request})
        return await reply

    async def closed(self) -> None:
        """Returns when the other side is gone."""
        await asyncio.wait([self._reading])

    def close(self) -> None:
        """Hangs up: the other side sees it."""
        self._writer.close()

    def _send(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "reply" in message:
                    self._settle(self._waiting.pop(message.pop("reply")), message)
                else:
                    task = asyncio.create_task(self._answer(message.pop("request"), message))
                    self._handling.add(task)
                    task.add_done_callback(self._handling.discard)
        except ConnectionError:
            pass  # as good as hung up
        finally:
            for reply in self._waiting.values():
                if not reply.done():
                    reply.set_exception(Unavailable("the process is gone"))
            self._waiting.clear()

    async def _answer(self, number: int, request: Message) -> None:
        try:
            answer = await self._handle(request)
        except Exception as error:  # boundary: the other side waits for an answer, whatever it is
            answer = {"error": str(error)}
        self._send({"reply": number, **answer})

    @staticmethod
    def _settle(reply: asyncio.Future[Message], message: Message) -> None:
        if reply.done():  # nobody waits any more
            return
        if "error" in message:
            reply.set_exception(Unavailable(message["error"]))
        else:
            reply.set_result(message)
