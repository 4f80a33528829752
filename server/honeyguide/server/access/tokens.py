"""Makes tokens, and the lines that let the server know them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

__all__ = ["NewToken", "new_token"]

_PREFIX = "hg_"
"""What every token begins with, so that scanners for secrets, and people, know one where it does not belong."""
_BYTES = 32


class NewToken(NamedTuple):
    """A token that was made just now; nobody else knows it."""

    token: str
    """For the caller."""
    sha256: str
    """For the server."""

    def to_toml(self, name: str, roles: Sequence[str], expires: datetime | None = None) -> str:
        """Writes the table that lets the caller in, for the file of `tokens` or the settings."""
        quoted = ", ".join(f'"{role}"' for role in roles)
        lines = [
            f"[callers.{name}]",
            f"roles = [{quoted}]",
            f'sha256 = "{self.sha256}"',
        ]
        if expires is not None:
            lines.append(f"expires = {expires.isoformat(timespec='seconds')}")
        return "\n".join(lines) + "\n"


def new_token() -> NewToken:
    """Makes a token of 256 random bits."""
    token = _PREFIX + secrets.token_urlsafe(_BYTES)
    return NewToken(token, sha256(token.encode()).hexdigest())
