"""Calls whose outcome a test looks at."""

from __future__ import annotations

import threading
from math import inf
from typing import Any

from honeyguide.server.serving.calls import ServerCall

__all__ = ["NotedCall"]


class NotedCall(ServerCall):
    """Call that notes how it ended."""

    def __init__(self, payload: bytes = b"", method: str = "/test/Method", deadline: float = inf) -> None:
        super().__init__(f"{id(self):032x}", deadline, "test", method, payload)
        self.outcome: Any = None
        self.ended = threading.Event()

    def respond(self, payload: bytes) -> None:
        self.end(payload)

    def fail(self, status: Any) -> None:
        self.end(status)

    def end(self, outcome: Any) -> None:
        assert not self.ended.is_set(), "a call ends once"
        self.outcome = outcome
        self.ended.set()

    def result(self) -> Any:
        """Waits for the outcome."""
        assert self.ended.wait(10)
        return self.outcome
