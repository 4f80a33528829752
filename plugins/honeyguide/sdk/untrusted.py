"""Reads files that anybody may have put there: regular files alone, never through a link, and no more than expected."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

__all__ = ["open_regular", "parse_json", "read_bounded"]

_DEEPEST = 32
"""Levels of a JSON text; what we write has five."""
_KINDS: Mapping[str, Callable[[int], bool]] = {
    "link": stat.S_ISLNK,
    "folder": stat.S_ISDIR,
    "pipe": stat.S_ISFIFO,
    "socket": stat.S_ISSOCK,
    "device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
}
# A pipe would wait for its other end, and a link lead out of the folder; Windows has neither flag.
_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def open_regular(path: Path) -> BufferedReader:
    """Opens a regular file; raises `OSError` for anything else, saying in its ``strerror`` what it is."""
    _refuse(os.lstat(path).st_mode)  # first: to open a device may already do something
    handle = os.open(path, _FLAGS)
    try:
        _refuse(os.fstat(handle).st_mode)  # and again: it may have been replaced meanwhile
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bounded(path: Path, most: int) -> bytes:
    """Reads a regular file of up to ``most`` bytes; raises `OSError` where it is larger, or as `open_regular` does."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"is larger than {most:,} bytes")
    return content


def parse_json(content: bytes) -> Any:
    """Parses JSON in UTF-8; raises `ValueError` for what is none, nests deeper than 32 levels or is no text in UTF-8.

    An escape may stand for half of a pair of characters, which nothing can carry further.
    """
    try:
        value = json.loads(content.decode())
    except RecursionError:
        raise ValueError(f"nested deeper than {_DEEPEST} levels") from None
    level = [value]
    for _ in range(_DEEPEST):
        level = [part for whole in level if isinstance(whole, dict | list) for part in _parts(whole)]
        if not level:
            break
    else:
        raise ValueError(f"nested deeper than {_DEEPEST} levels")
    json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value


def _parts(whole: dict[str, Any] | list[Any]) -> list[Any]:
    return list(whole.values()) if isinstance(whole, dict) else whole


def _refuse(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((kind for kind, is_kind in _KINDS.items() if is_kind(mode)), "thing of another kind")
        raise OSError(errno.EINVAL, f"is a {kind}, not a file")
