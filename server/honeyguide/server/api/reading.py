"""Reads requests of bytes: what is too large, or no message of the call, is told and no fault of the server."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError

from honeyguide.sdk.errors import Malformed, TooLarge

__all__ = ["MAX_MESSAGE_BYTES", "inflate", "read_message"]

T = TypeVar("T")

MAX_MESSAGE_BYTES = 8 << 20
"""Bytes of one message at most; a client that sends more is told so, and not to try again."""


_GZIP, _ZLIB = b"\x1f\x8b", b"\x78"
"""First bytes of what gRPC's compressions make. No message of the API begins so: one would be no field, the other is
field 15, which none has."""
_EITHER = 47
"""zlib's number for "gzip or zlib, as the header says"."""


def inflate(data: bytes) -> bytes:
    """Returns the bytes of a message that may have come compressed, no more of them than is read.

    gRPC itself inflates a message whole before it looks at its size: 300 kB of packed zeros would take 300 MB.
    """
    if not (data.startswith(_GZIP) or (data.startswith(_ZLIB) and int.from_bytes(data[:2], "big") % 31 == 0)):
        return data
    try:
        return zlib.decompressobj(_EITHER).decompress(data, MAX_MESSAGE_BYTES + 1)
    except zlib.error as error:
        raise Malformed("the message is compressed, and broken; send it again") from error


def read_message(parse: Callable[[bytes], T], data: bytes) -> T:
    """Returns what ``parse`` makes of the bytes of one message; raises `TooLarge` or `Malformed`."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise TooLarge(f"the message has {len(data):,} bytes or more; allowed: {MAX_MESSAGE_BYTES:,}; send several")
    try:
        return parse(data)
    except DecodeError as error:
        raise Malformed("the bytes are no message of this call; check the client's .proto files") from error
