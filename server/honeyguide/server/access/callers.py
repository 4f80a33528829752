"""Knows the callers: reads them from the settings and a file, and finds them by token or certificate."""

from __future__ import annotations

import math
import os
import stat
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.access.limits import CallerLimits
from honeyguide.server.settings.access import CallerName, CallerSettings, RoleName

__all__ = ["Caller", "Callers", "read_callers"]


class Caller(NamedTuple):
    """One who may call."""

    name: str
    roles: frozenset[RoleName]
    expires: float
    """Seconds since 1970-01-01 UTC; infinite: never."""
    limits: CallerLimits


class Callers:
    """All callers of one moment."""

    def __init__(self, given: Mapping[str, CallerSettings], before: Callers | None = None) -> None:
        """Takes them by name; raises `ConfigError` where two share a token or a certificate's name.

        Args:
            given: the callers.
            before: those of the moment before; who has the same limits goes on with what is left of them.
        """
        self._limits: dict[str, CallerLimits] = {}
        self._by_digest: dict[bytes, tuple[bytes, Caller]] = {}
        self._by_subject: dict[str, Caller] = {}
        for name, settings in given.items():
            caller = self._make(name, settings, before)
            digest = bytes.fromhex(settings.sha256)
            if digest and self._by_digest.setdefault(digest, (digest, caller))[1] is not caller:
                raise ConfigError(f"callers.{name}.sha256 is another caller's too; give each a token of its own")
            for subject in settings.subjects:
                if self._by_subject.setdefault(subject, caller) is not caller:
                    raise ConfigError(f"callers.{name}.subjects names {subject!r}, which is another caller's too")

    def __len__(self) -> int:
        return len(self._limits)

    def by_token(self, token: str) -> Caller | None:
        """Returns whose token it is; None: nobody's.

        Looked up is the token's hash, which nobody can steer towards one that is known, and what is found is compared
        in constant time: how long it takes says nothing of any token. Tokens are 256 random bits, so that nobody can
        guess one from its hash, and a slow hash, as passwords need, would gain nothing.
        """
        digest = sha256(token.encode(errors="surrogateescape")).digest()
        known, caller = self._by_digest.get(digest, (b"", None))
        return caller if compare_digest(known, digest) else None

    def by_subject(self, subject: str) -> Caller | None:
        """Returns whose certificate has that name; None: nobody's."""
        return self._by_subject.get(subject)

    def _make(self, name: str, settings: CallerSettings, before: Callers | None) -> Caller:
        limits = before._limits.get(name) if before else None  # noqa: SLF001  # of its own kind
        if limits is None or not limits.are_of(settings):
            limits = CallerLimits(name, settings)
        self._limits[name] = limits
        expires = settings.expires.timestamp() if settings.expires else math.inf
        return Caller(name, frozenset(settings.roles), expires, limits)


class _File(BaseModel):
    """What a file of callers holds."""

    model_config = ConfigDict(extra="forbid")

    callers: dict[CallerName, CallerSettings] = Field(default_factory=dict)


def read_callers(file: Path) -> dict[str, CallerSettings]:
    """Reads a TOML file of callers, ``[callers.NAME]``; raises `ConfigError` saying what is wrong, but no value."""
    try:
        if os.name == "posix" and file.stat().st_mode & stat.S_IWOTH:
            raise ConfigError(f"tokens is {str(file)!r}, which every user of this machine may change: chmod o-w it")
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"tokens is {str(file)!r}, which cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # ValueError: bad TOML, bad UTF-8, or a number of thousands of digits
        raise ConfigError(f"tokens is {str(file)!r}, which is not TOML ({error})") from error
    try:
        return dict(_File.model_validate(table).callers)
    except ValidationError as error:
        # Not what was given: somebody may have written a token where its hash belongs.
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise ConfigError(f"tokens is {str(file)!r}, where {'; '.join(problems)}") from error
