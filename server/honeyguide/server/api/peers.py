"""Names what a server knows of other processes that answer on its port: that they are told of what it changes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Protocol

__all__ = ["Alone", "Change", "Peers"]

Change = Mapping[str, str | int]
"""What every process must do.

``{"load": name, "version": 3, "digest": …}`` (of its manifest), ``{"unload": name}`` or ``{"forget": user_id}``;
`Server.apply` does it. Of changes with one ``subject``, a process that starts later is told the newest.
"""


class Peers(Protocol):
    """The other processes of a server."""

    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Waits until no other process makes a change, so that all make the same ones in the same order."""
        ...  # pragma: no cover

    async def tell(self, change: Change) -> None:
        """Returns when the others have done the same; raises `Unavailable` where one cannot."""
        ...  # pragma: no cover


class Alone:
    """What a server of one process has for peers."""

    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """See `Peers`."""
        return contextlib.nullcontext()

    async def tell(self, change: Change) -> None:
        """See `Peers`."""
