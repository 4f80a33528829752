"""Says what was shown: the answers to a batch of requests, and to whom they were given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from honeyguide.server.serving.answers import Answers

__all__ = ["Shown"]


class Shown(NamedTuple):
    """Answers to a batch of requests of one pipeline, as they were given."""

    time_ms: int
    pipeline: str
    request_ids: Sequence[str]
    user_ids: Sequence[str]
    """"": anonymous."""
    answers: Answers
    arm: str = ""
    """"": none was drawn."""
    propensity: float | None = None
    """The probability with which the arm was drawn, 0–1."""
