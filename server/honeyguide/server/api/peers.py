"""Names what a server knows of other processes that answer on its port: that they are told of what it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

__all__ = ["Alone", "Change", "Peers", "to_its_end"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

Change = Mapping[str, str | int]
"""What every process must do.

``{"load": name, "version": 3, "digest": …}`` (of its manifest), ``{"unload": name}``, ``{"forget": user_id}``,
``{"traffic": state}``, or ``{"items": 1}``: other items are added now. `Server.apply` does it. Of changes with one
``subject``, a process that starts later is told the newest. ``seconds`` is how long it took who made it, where that may
be long: others may be as slow.
"""


class Peers(Protocol):
    """The other processes of a server."""

    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Waits until no other process makes a change, so that all make the same ones in the same order."""
        ...  # pragma: no cover

    async def join(self) -> None:
        """Returns when this process has done all that the others did; called once, before it listens."""
        ...  # pragma: no cover

    async def tell(self, change: Change) -> None:
        """Returns when the others have done the same; raises `Unavailable` where one cannot."""
        ...  # pragma: no cover


class Alone:
    """What a server of one process has for peers."""

    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """See `Peers`."""
        return contextlib.nullcontext()

    async def join(self) -> None:
        """See `Peers`."""

    async def tell(self, change: Change) -> None:
        """See `Peers`."""


def to_its_end(
    method: Callable[_Arguments, Coroutine[Any, Any, _Result]],
) -> Callable[_Arguments, Awaitable[_Result]]:
    """Lets a method that changes something go on when its caller goes away: half a change is known to half of all."""
    running: set[asyncio.Task[_Result]] = set()  # the event loop alone would forget them

    def end(task: asyncio.Task[_Result]) -> None:
        running.discard(task)
        if not task.cancelled():
            task.exception()  # seen: who asked may be gone

    @wraps(method)
    async def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        task = asyncio.create_task(method(*args, **kwargs))
        running.add(task)
        task.add_done_callback(end)
        return await asyncio.shield(task)

    return run
