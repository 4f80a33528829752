"""Refuses a folder that cannot be made or written to, before anything heavy is imported and any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from honeyguide.sdk.errors import DataError

__all__ = ["check_makeable"]


def check_makeable(folder: Path) -> None:
    """Raises `DataError` where a folder, or the first one above it that is there, is a file or not to be written to."""
    place = folder.resolve()
    there = next(path for path in (place, *place.parents) if path.exists())
    problem = "" if os.access(there, os.W_OK) else "cannot be written to"
    if not there.is_dir():
        problem = "is no folder"
    if problem:
        raise DataError(
            f"nothing can be written here: {there} {problem}", file=str(folder), remedy="name another folder"
        )
