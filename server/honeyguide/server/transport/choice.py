"""Chooses the transport, and says why."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.access.reach import only_this_machine
from honeyguide.server.settings import Settings
from honeyguide.server.transport.grpcio import GrpcioTransport
from honeyguide.server.transport.services import Services, Transport

__all__ = ["Choice", "choose_transport", "make_transport"]

_PACKAGE = "pygrpc_native"


class Choice(NamedTuple):
    """Transport that was chosen."""

    native: bool
    why: str
    """For the line at the start."""


def choose_transport(settings: Settings) -> Choice:
    """Chooses for the settings; raises `ConfigError` where they ask for what the native front cannot do."""
    cannot = _cannot(settings)
    if settings.transport == "native":
        if cannot:
            raise ConfigError(f'transport is "native", and {cannot}; take that back, or set transport to "grpcio"')
        return Choice(True, "as set")
    if settings.transport == "grpcio":
        return Choice(False, "as set")
    if cannot:
        return Choice(False, cannot)
    if not only_this_machine(settings.host):
        # The front reads a message of any size into memory, inflated, before anybody can refuse it.
        return Choice(
            False, f"{settings.host} is open to other machines, and the native front limits no message's size"
        )
    return Choice(True, "only this machine can connect")


def make_transport(choice: Choice, services: Services, settings: Settings) -> Transport:
    """Binds the port; must be called on the event loop. Raises `ConfigError` where it cannot be had."""
    if choice.native:
        from honeyguide.server.transport.native import NativeTransport  # not on every platform

        return NativeTransport(services, settings)
    return GrpcioTransport(services, settings)


def _cannot(settings: Settings) -> str:
    """Says what keeps the native front from serving; "": nothing does."""
    asked = {
        "tls_certificate is set": settings.tls_certificate is not None,
        "tls_key is set": settings.tls_key is not None,
        "max_connection_age_seconds is set": settings.max_connection_age_seconds > 0,
        "max_connection_idle_seconds is set": settings.max_connection_idle_seconds > 0,
        "min_ping_seconds is set": settings.min_ping_seconds > 0,
    }
    for what, is_asked in asked.items():
        if is_asked:
            return f"{what}, which the native front cannot do"
    if find_spec(_PACKAGE) is None:
        return "pygrpc-native is not installed (it has wheels for Linux and macOS)"
    return ""
