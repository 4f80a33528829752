"""Carries what belongs to a request beside its question: its id, its deadline and its caller."""

from __future__ import annotations

import math

__all__ = ["RequestContext"]


class RequestContext:
    """Identity and limits of one request, handed down from where it arrives."""

    __slots__ = ("caller", "deadline", "request_id")

    def __init__(self, request_id: str, deadline: float = math.inf, caller: str = "") -> None:
        """Takes them.

        Args:
            request_id: names the answer, and the request in every line of the log.
            deadline: moment after which nothing is computed for it, seconds on the clock `monotonic`, which is the
                event loop's; infinite: none was set.
            caller: who asks, as far as the transport knows; "": nobody it knows.
        """
        self.request_id, self.deadline, self.caller = request_id, deadline, caller
