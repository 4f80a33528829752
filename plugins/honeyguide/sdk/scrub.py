"""Keeps the file system out of what leaves the machine."""

from __future__ import annotations

import re

__all__ = ["without_paths"]

_PATH = re.compile(
    # What begins at the root, of a drive or a share too. A folder's name may hold single spaces, the last name none.
    r"(?<![\w.])(?:[A-Za-z]:[/\\]|/|\\\\)(?=[\w.])"
    r"(?:[^\s'\"/\\:]+(?: [^\s'\"/\\:]+){0,3}(?<!\()[/\\])*[^\s'\"/\\:,;)\]]*"
)


def without_paths(message: str) -> str:
    """Returns a message with every absolute path replaced by "<path>", as it may go to a client."""
    return _PATH.sub("<path>", message)
