"""Refuses a folder that cannot be made or written to before any work is done, and words what a disk refuses later."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from honeyguide.sdk.errors import DataError

__all__ = ["GOES_ON", "check_makeable", "is_full_disk", "writing"]

GOES_ON = "make room there and train again; where an epoch is done, the same command without --force goes on"
"""The remedy where a training is stopped."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_makeable(folder: Path) -> None:
    """Raises `DataError` where a folder, or the first one above it that is there, is a file or not to be written to."""
    try:
        place = folder.resolve()
        if place.is_symlink():  # Python up to 3.12 raises instead
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))  # noqa: TRY301  # one place words them all
        there = next(path for path in (place, *place.parents) if path.exists())
    except (OSError, RuntimeError, ValueError) as error:  # a ring of links, a name too long, a zero byte
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise DataError(
            f"no folder can be made here: {reason}", file=str(folder)[:200], remedy="name another folder"
        ) from error
    problem = "" if os.access(there, os.W_OK) else "cannot be written to"
    if not there.is_dir():
        problem = "is no folder"
    if problem:
        raise DataError(
            f"nothing can be written here: {there} {problem}", file=str(folder), remedy="name another folder"
        )


@contextmanager
def writing(
    file: Path,
    what: str,
    *others: type[Exception],
    draft: Path | None = None,
    remedy: str = "make room there, or name another folder",
) -> Iterator[None]:
    """Turns what a disk refuses, such as a byte too many, into a `DataError` of one line and its remedy.

    Args:
        file: what is written, or its folder.
        what: what it is, in words.
        others: names that a library has of its own for a full disk, beside `OSError`.
        draft: the file that is written in its stead and renamed once it is whole; removed where it never gets there.
        remedy: what helps.
    """
    refusals: tuple[type[Exception], ...] = (OSError, *others)
    try:
        yield
    except refusals as error:
        if draft is not None:
            draft.unlink(missing_ok=True)
        reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())[:300]
        refused = DataError(f"{what} cannot be written: {reason}", file=str(file), remedy=remedy)
        raise refused.with_facts(cause="disk") from error


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, or one that it came from, is a disk's that takes no more."""
    before = error.__cause__ or error.__context__
    return (isinstance(error, OSError) and error.errno in _FULL) or (before is not None and is_full_disk(before))
