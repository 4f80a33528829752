"""Carries what belongs to a request beside its question: its id, its deadline and its caller."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["RequestContext"]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Identity and limits of one request, handed down from where it arrives."""

    request_id: str
    """Names the answer, and the request in every line of the log."""
    deadline: float = math.inf
    """Moment after which nothing is computed for it, seconds on the event loop's clock; infinite: none was set."""
    caller: str = ""
    """Who asks, as far as the transport knows; "": nobody it knows."""
