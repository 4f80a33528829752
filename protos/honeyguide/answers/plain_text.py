"""Writes text that comes from outside so that no terminal, log or table takes it for anything but text."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["plain_json", "plain_line", "plain_text"]

_COMMANDS = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed: what terminals obey
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of what stands around them (CVE-2021-42574)
    "\u2028\u2029"  # break lines where nobody expects it
    "\u200b\u2060\ufeff\U000e0000-\U000e007f"  # not seen, so that two ids look alike; joiners stay: scripts need them
    "\ud800-\udfff"  # bytes of a file's name that are no UTF-8
    "]"
)
_BREAKS = re.compile("[\t\n]")


def plain_text(text: str) -> str:
    """Escapes what would act on a terminal or on the text around it, as Python writes it; lines stay lines.

    What has been escaped is left as it is when it comes by again.
    """
    return text if text.isascii() and text.isprintable() else _COMMANDS.sub(_escape, text)


def plain_line(text: str) -> str:
    """Escapes line breaks and tabs, too: what comes out is one line."""
    return text if text.isascii() and text.isprintable() else _BREAKS.sub(_escape, plain_text(text))


def plain_json(value: Any, *, ascii_only: bool = False, indent: int | None = None) -> str:
    """Writes JSON of the same meaning, without a character that acts; what JSON does not know is written as text."""
    written = json.dumps(value, indent=indent, ensure_ascii=ascii_only, default=str)
    return _COMMANDS.sub(lambda found: json.dumps(found[0])[1:-1] if found[0] != "\x7f" else r"\u007f", written)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
