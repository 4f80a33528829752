"""Writes users down without naming them: by a keyed hash that nobody undoes who lacks the key."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from honeyguide.sdk.errors import ConfigError

__all__ = ["Pseudonyms"]

_LEAST_BYTES, _MOST_BYTES = 16, 64
"""Of a key; BLAKE2b takes no longer one."""
_DIGEST_BYTES = 16


class Pseudonyms:
    """Pseudonyms of users under one key: BLAKE2b with a key (RFC 7693), 32 hexadecimal digits."""

    def __init__(self, key: bytes) -> None:
        """Takes a key of 16 to 64 bytes."""
        self._keyed = hashlib.blake2b(key=key, digest_size=_DIGEST_BYTES)

    @classmethod
    def from_file(cls, setting: str, path: Path) -> Pseudonyms:
        """Reads the key; raises `ConfigError` naming the setting where the file holds none."""
        try:
            key = path.read_bytes().strip()
        except OSError as error:
            raise ConfigError(f"{setting} is {str(path)!r}, which cannot be read ({error.strerror})") from error
        if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
            raise ConfigError(
                f"{setting} is {str(path)!r}, which holds {len(key)} bytes; a key has {_LEAST_BYTES} to {_MOST_BYTES}: "
                "make one with `openssl rand -hex 32`"
            )
        return cls(key)

    @classmethod
    def until_restart(cls) -> Pseudonyms:
        """Makes a key that nobody keeps."""
        return cls(secrets.token_bytes(_MOST_BYTES))

    def of(self, user_id: str) -> str:
        """Returns the pseudonym of a user; always the same under one key."""
        keyed = self._keyed.copy()
        keyed.update(user_id.encode())
        return keyed.hexdigest()
