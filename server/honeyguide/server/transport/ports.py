"""Checks and names the address that a transport listens on."""

from __future__ import annotations

import socket

from honeyguide.sdk.errors import ConfigError

__all__ = ["address_of", "check_free", "port_taken"]

_UNIX = "unix:"


def check_free(host: str, port: int, flag: str = "--port") -> None:
    """Raises `ConfigError` where the port is taken: before anything slow is done, and in better words than gRPC's."""
    if host.startswith(_UNIX):
        _check_socket(host.removeprefix(_UNIX), host)
        return
    if port == 0:
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise port_taken(host, port, error.strerror, flag) from error


def port_taken(host: str, port: int, problem: str | None = None, flag: str = "--port") -> ConfigError:
    """Makes the error of a port that cannot be had."""
    reason = f" ({problem})" if problem else ""
    if host.startswith(_UNIX):
        return ConfigError(f"cannot listen on {host}: stop what listens there, or choose another path{reason}")
    return ConfigError(
        f"cannot listen on {host}, port {port}: stop what listens there, or choose another with {flag} (0: any free)"
        f"{reason}"
    )


def address_of(host: str, port: int) -> str:
    """Writes host and port as one address; an IPv6 host gets its brackets, and a Unix socket has no port."""
    if host.startswith(_UNIX):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_socket(path: str, host: str) -> None:
    """Raises `ConfigError` where another server listens on a Unix socket: binding would take it away in silence."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return  # nobody, or what a server left that ended
    except OSError as error:
        raise port_taken(host, 0, error.strerror) from error
    raise port_taken(host, 0, "a server answers there")
