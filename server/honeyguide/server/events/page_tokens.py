"""Makes and checks the tokens that lead from a page of events or users to the next."""

from __future__ import annotations

import base64
import hashlib
import struct

from honeyguide.sdk.errors import InvalidArgument

__all__ = ["event_token", "read_event_token", "read_user_token", "user_token"]


def event_token(user_id: str, time_ms: int, number: int) -> str:
    """Makes the token of a user's page of events that ends with this one."""
    place = struct.pack(">qq", time_ms, number)
    return base64.urlsafe_b64encode(place + _seal(user_id, place)).decode()


def read_event_token(user_id: str, token: str) -> tuple[int, int]:
    """Returns time and number of the event; raises `InvalidArgument` when the token is not one of this user's."""
    try:
        raw = base64.b64decode(token.encode(), b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 24 or raw[16:] != _seal(user_id, raw[:16]):
        raise InvalidArgument("page_token", token, "the next_page_token of this user's previous page")
    time_ms, number = struct.unpack(">qq", raw[:16])
    return time_ms, number


def user_token(user_id: str) -> str:
    """Makes the token of a page of users that ends with this one."""
    return base64.urlsafe_b64encode(_seal("", user_id.encode()) + user_id.encode()).decode()


def read_user_token(token: str) -> str:
    """Returns the user; raises `InvalidArgument` when the token is none of ours."""
    try:
        raw = base64.b64decode(token.encode(), b"-_", validate=True)
        if raw[:8] == _seal("", raw[8:]):
            return raw[8:].decode()
    except ValueError:
        pass
    raise InvalidArgument("page_token", token, "the next_page_token of the previous page of users")


def _seal(user_id: str, place: bytes) -> bytes:
    return hashlib.blake2b(place + user_id.encode(), digest_size=8).digest()
