"""Says what was shown: the answers to a batch of requests, and to whom they were given."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
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

    @classmethod
    def now(
        cls,
        pipeline: str,
        request_ids: Sequence[str],
        user_ids: Sequence[str],
        answers: Answers,
        arm: str = "",
        propensity: float | None = None,
    ) -> Shown:
        """Returns what is shown at this moment."""
        # Copied: they are slices, and what they are slices of would stay until it is written, out of the cache.
        rows, scores, sources = answers.rows.copy(), answers.scores.copy(), answers.sources.copy()
        answers = replace(answers, rows=rows, scores=scores, sources=sources)
        return cls(time.time_ns() // 1_000_000, pipeline, request_ids, user_ids, answers, arm, propensity)
