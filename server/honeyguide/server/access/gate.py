"""Lets calls in: finds out who calls, whether the caller may, and whether it has room left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context
from typing import Any, NamedTuple

import grpc
import structlog

from honeyguide.sdk.errors import ConfigError, RoleRequired, Unauthenticated
from honeyguide.server.access.callers import Caller, Callers, read_callers
from honeyguide.server.access.files import WatchedFiles
from honeyguide.server.access.roles import OPENED, ROLES, ROLES_OF, service_of
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.settings import Settings
from honeyguide.server.settings.access import RoleName

__all__ = ["Credentials", "Gate", "credentials_of"]

_AUTHORIZATION = "authorization"
_SCHEME = "bearer "
_UNKNOWN: tuple[RoleName, ...] = ("admin",)
"""What an rpc needs that the table lacks."""
_WHO = "no credential that this server takes: send `authorization: Bearer TOKEN`, or a client certificate that is known"


class Credentials(NamedTuple):
    """What a call brought of who makes it."""

    authorization: tuple[str | bytes, ...] = ()
    """Values of the header."""
    subjects: tuple[str, ...] = ()
    """Names in a client certificate that the transport has checked."""


def credentials_of(
    metadata: Iterable[tuple[str, str | bytes]], peer: Mapping[str, Iterable[bytes]] | None = None
) -> Credentials:
    """Finds the credentials in a call's metadata and in what gRPC knows of the connection (its auth context)."""
    authorization = tuple([value for key, value in metadata if key == _AUTHORIZATION])  # a generator would take longer
    if not peer:
        return Credentials(authorization)
    names = (*peer.get("x509_common_name", ()), *peer.get("x509_subject_alternative_name", ()))
    return Credentials(authorization, tuple(name.decode(errors="surrogateescape") for name in names))


class Gate:
    """Door through which every call comes that needs a credential; thread-safe."""

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        """Reads the callers; raises `ConfigError` where their file cannot be read or names one twice."""
        self._settings, self._metrics, self._clock = settings, metrics, clock
        self._log = structlog.get_logger("honeyguide.access")
        # What everybody may call; what is answered on the admin port alone is open to who reaches that.
        self._open = {path for path in OPENED if getattr(settings, service_of(path)) in ("open", "admin")}
        self._needed = {**ROLES_OF, **dict.fromkeys(OPENED, ROLES)}
        self._files = WatchedFiles([settings.tokens]) if settings.tokens else None
        self._callers = self._read(None)
        metrics.callers.set(len(self._callers))

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> Gate | None:
        """Makes the gate that the settings ask for; None: every call is let in."""
        return cls(settings, metrics) if settings.tokens or settings.callers else None

    def credentials(self, context: grpc.aio.ServicerContext[Any, Any]) -> Credentials:
        """Finds the credentials of a call that grpcio carries."""
        # Without authorities there are no names that anybody has checked, and asking takes as long as all else.
        peer = context.auth_context() if self._settings.tls_client_ca is not None else None
        return credentials_of(context.invocation_metadata() or (), peer)

    def admit(self, method: str, credentials: Credentials) -> Caller | None:
        """Lets one call in, and takes it off the caller's rate.

        Args:
            method: path of the rpc, "/package.Service/Method".
            credentials: what the call brought.

        Returns who calls; None: the rpc is open to everybody. Raises `Unauthenticated`, `RoleRequired` or
        `RateExceeded`.
        """
        if method in self._open:
            return None
        caller = self.check(method, credentials)
        caller.limits.take()
        return caller

    def check(self, method: str, credentials: Credentials) -> Caller:
        """Says who calls, as `admit` does, of a call that may have been let in long ago; takes nothing."""
        caller = self._identify(credentials)
        if caller is None or caller.expires <= self._clock():
            raise Unauthenticated(_WHO)
        if caller.roles.isdisjoint(needed := self._needed.get(method, _UNKNOWN)):
            raise RoleRequired(method, caller.name, needed)
        return caller

    def _identify(self, credentials: Credentials) -> Caller | None:
        """Finds who calls: by the token where one was sent, which then must be right, else by the certificate."""
        if self._files is not None and self._files.changed():
            Context().run(self._reload)  # it is nobody's request that the log then tells of
        callers = self._callers
        if credentials.authorization:
            (value, *others) = credentials.authorization
            if others or not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
                return None
            return callers.by_token(value[len(_SCHEME) :].strip())
        return next((caller for subject in credentials.subjects if (caller := callers.by_subject(subject))), None)

    def _read(self, before: Callers | None) -> Callers:
        file, given = self._settings.tokens, self._settings.callers
        from_file = read_callers(file) if file else {}
        if twice := sorted(from_file.keys() & given.keys()):
            raise ConfigError(f"callers.{twice[0]} is in the settings and in the file of tokens; take one away")
        return Callers(given | from_file, before)

    def _reload(self) -> None:
        """Takes the file as it is now; a broken one changes nothing, so that a slip of the pen locks nobody out."""
        try:
            self._callers = self._read(self._callers)
        except ConfigError as error:
            self._metrics.reloads.labels("tokens", "failed").inc()
            self._log.error("tokens not reloaded; those of before go on", problem=error.message)
        else:
            self._metrics.reloads.labels("tokens", "done").inc()
            self._metrics.callers.set(len(self._callers))
            self._log.info("tokens reloaded", callers=len(self._callers))
