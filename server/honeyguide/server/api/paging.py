"""Cuts lists into pages with opaque tokens."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.server.api.violations import Violations

__all__ = ["page", "size_of_page"]

T = TypeVar("T")
M = TypeVar("M", bound=Message)
_LARGEST, _DEFAULT = 1000, 100
_MOST_BYTES = 3_000_000
"""Bytes of a page's entries, so that it stays below the 4 MiB that gRPC's clients take."""


def page(
    items: Sequence[T], kind: str, page_size: int, page_token: str, message: Callable[[T], M]
) -> tuple[list[M], str]:
    """Returns one page of a list as messages, and the next page's token, "" after the last.

    Args:
        items: the whole list, in its fixed order.
        kind: what is listed; a token of another list is refused.
        page_size: 1–1,000, and no more whatever is asked; 0 is 100. The page ends sooner where its entries are large.
        page_token: "" is the first page.
        message: makes an item's message; it is called for those of the page alone.

    Raises `InvalidArgument`.
    """
    violations = Violations()
    start, size = violations.check(_place, kind, page_token), violations.check(size_of_page, page_size)
    violations.refuse()
    messages: list[M] = []
    total = 0
    for item in items[start : start + size]:
        made = message(item)
        total += made.ByteSize()
        if messages and total > _MOST_BYTES:
            break
        messages.append(made)
    end = start + len(messages)
    token = base64.urlsafe_b64encode(json.dumps([kind, end]).encode()).decode() if end < len(items) else ""
    return messages, token


def size_of_page(page_size: int) -> int:
    """Returns how many entries a page has: as asked, 0 is 100, at most 1,000 (AIP-158); raises `InvalidArgument`."""
    if page_size < 0:
        raise InvalidArgument("page_size", page_size, f"1 to {_LARGEST:,}, or 0 for {_DEFAULT}")
    return min(page_size or _DEFAULT, _LARGEST)


def _place(kind: str, token: str) -> int:
    if not token:
        return 0
    try:
        of, place = json.loads(base64.b64decode(token, b"-_", validate=True))
        if of == kind and type(place) is int and place > 0:
            return place
    except (binascii.Error, ValueError, TypeError, RecursionError):
        pass
    raise InvalidArgument("page_token", token, "the next_page_token of the previous page of this list")
