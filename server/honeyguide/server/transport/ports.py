"""Checks and names the address that a transport listens on."""

from __future__ import annotations

import socket

from honeyguide.sdk.errors import ConfigError

__all__ = ["address_of", "check_free", "port_taken"]


def check_free(host: str, port: int) -> None:
    """Raises `ConfigError` where the port is taken: before anything slow is done, and in better words than gRPC's."""
    if port == 0:
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise port_taken(host, port, error.strerror) from error


def port_taken(host: str, port: int, problem: str | None = None) -> ConfigError:
    """Makes the error of a port that cannot be had."""
    reason = f" ({problem})" if problem else ""
    return ConfigError(
        f"cannot listen on {host}, port {port}: stop what listens there, or choose another with --port (0: any free)"
        f"{reason}"
    )


def address_of(host: str, port: int) -> str:
    """Writes host and port as one address; an IPv6 host gets its brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
