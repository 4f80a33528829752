"""Says whether a client may be used: not after it was closed, in a process forked from its own, or elsewhere."""

from __future__ import annotations

import os
import threading
from typing import NoReturn

import grpc

from honeyguide.client.errors import CancelledError, ClientStateError, HoneyguideClientError

__all__ = ["Lifetime", "refuse_pickling"]


class Lifetime:
    """State of one client, from its making to its close; `opening` is held while a stream is opened or all is closed.

    gRPC crashes where a stream is opened on a channel that is being closed.
    """

    def __init__(self, kind: str) -> None:
        self.closed = False
        self.opening = threading.Lock()
        self._kind, self._process = kind, os.getpid()

    @property
    def forked(self) -> bool:
        """Whether this is another process than the one the client was made in."""
        return os.getpid() != self._process

    def check(self) -> None:
        """Raises `ClientStateError` where no call can be made."""
        if self.closed:
            raise ClientStateError(
                f"this {self._kind} is closed", reason="CLIENT_CLOSED", remedy=f"make a new {self._kind}"
            )
        if self.forked:
            raise ClientStateError(
                f"this {self._kind} was made in process {self._process}, and gRPC does not survive a fork",
                reason="CLIENT_FORKED",
                remedy=f"make a {self._kind} in each process, after the fork",
            )

    def explained(self, failure: HoneyguideClientError) -> HoneyguideClientError:
        """Returns a call's failure, in the client's own words where it comes of closing the client."""
        if self.closed and isinstance(failure, CancelledError):
            return CancelledError("the client was closed while the call was under way")
        return failure

    def close(self, channel: grpc.Channel) -> None:
        """Closes the client and its channel; twice is once."""
        if self.forked:  # the lock may be held for good, and the channel is the other process's
            self.closed = True
            return
        with self.opening:
            self.closed = True
            channel.close()


def refuse_pickling(kind: str) -> NoReturn:
    """Raises `ClientStateError`: a connection cannot be sent to another process."""
    raise ClientStateError(
        f"this {kind} cannot be pickled or copied: it holds a connection",
        reason="NOT_PICKLABLE",
        remedy=f"send its `target` instead, and make a {kind} where it is used",
    )
