"""Keeps out of messages what does not belong there: the file system, and what no screen or wire can carry."""

from __future__ import annotations

import re

__all__ = ["printable", "without_paths"]

_PATH = re.compile(
    # What begins at the root, of a drive or a share too. A folder's name may hold single spaces, the last name none.
    r"(?<![\w.])(?:[A-Za-z]:[/\\]|/|\\\\)(?=[\w.])"
    r"(?:[^\s'\"/\\:]+(?: [^\s'\"/\\:]+){0,3}(?<!\()[/\\])*[^\s'\"/\\:,;)\]]*"
)


def without_paths(message: str) -> str:
    """Returns a message with every absolute path replaced by "<path>", as it may go to a client."""
    return _PATH.sub("<path>", message)


def printable(text: str, most: int = 500) -> str:
    """Returns text that any terminal, log and message can carry, of at most ``most`` characters.

    What does not print (control characters, line breaks, bytes of a file's name that are no UTF-8) is escaped.
    """
    if len(text) > most:
        text = text[: most - 1] + "…"
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
        text = text if len(text) <= most else text[: most - 1] + "…"
    return text
