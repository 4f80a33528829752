"""Stands in for a disk that is full."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["files_end_at"]


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Lets no file of this process grow beyond ``size`` bytes, which programs meet as they do a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
