"""Makes a folder once for all processes of a test run, however many workers share it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

__all__ = ["make_once"]


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Returns the folder ``name`` of this run, which the first caller of any worker has filled by ``make(folder)``.

    Everybody else waits for it meanwhile. By convention nobody changes what lies in it: copy what you want to change.
    A ``make`` that fails is tried again by the next caller, on an empty folder of another name.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # each worker has a folder of its own in the run's
    done = root / f"{name}.made"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            folder = factory.mktemp(name)
            make(folder)
            done.write_text(str(folder), "utf-8")
    return Path(done.read_text("utf-8"))
