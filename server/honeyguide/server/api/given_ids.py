"""Adopts the ids that clients give their calls, so that one id runs through their logs and ours."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["GIVEN_IDS", "adopt", "returned"]

GIVEN_IDS = frozenset({"x-request-id", "traceparent"})
"""Keys of metadata that carry an id."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
"""Of W3C Trace Context: version, trace, span of the caller, flags."""


def adopt(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Returns the id that a call came with; "": none, or none that may stand in logs and answers.

    It is the ``x-request-id``, else trace and span of ``traceparent``, which no other call of a client has.
    """
    given = {key: value for key, value in metadata if key in GIVEN_IDS and isinstance(value, str)}
    if _REQUEST_ID.fullmatch(own := given.get("x-request-id", "")):
        return own
    found = _TRACEPARENT.fullmatch(given.get("traceparent", ""))
    return f"{found[1]}-{found[2]}" if found else ""


def returned(metadata: Iterable[tuple[str, str | bytes]], adopted: str) -> tuple[tuple[str, str], ...]:
    """Returns the trailing metadata of a call whose id was adopted: that id, and its ``traceparent``."""
    if not adopted:
        return ()
    traces = (value for key, value in metadata if key == "traceparent" and isinstance(value, str))
    return (("x-request-id", adopted), *(("traceparent", trace) for trace in traces if _TRACEPARENT.fullmatch(trace)))
