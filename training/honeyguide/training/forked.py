"""Refuses to work in a forked process whose threads stayed behind: it would hang for ever."""

from __future__ import annotations

import os
from functools import cache

from honeyguide.sdk.errors import FailedPrecondition

__all__ = ["check_not_forked", "first_process"]


@cache
def first_process() -> int:
    """Returns the process that called this first; a forked child inherits the answer.

    Whoever is about to start threads calls it: Polars and OpenMP keep pools of them, and a fork copies their locks and
    not the threads.
    """
    return os.getpid()


def check_not_forked() -> None:
    """Raises `FailedPrecondition` in the child of a process that had data sets open when it forked."""
    if first_process() != os.getpid():
        raise FailedPrecondition(
            "this process was forked from one that had a data set open, and the threads that read it stayed behind: "
            'start it afresh, with multiprocessing.get_context("spawn") or subprocess'
        )
