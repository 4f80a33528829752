"""Refuses settings that would leave the server open by mistake, and says what is open on purpose."""

from __future__ import annotations

import ipaddress

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.settings import Settings

__all__ = ["check_reach", "only_this_machine"]


def only_this_machine(host: str) -> bool:
    """Says whether nobody but this machine can connect to an address: a loopback one, or a Unix socket."""
    if host.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_reach(settings: Settings) -> list[str]:
    """Returns what an operator should know of who can come in, a line each; raises `ConfigError`.

    Refused are other machines without TLS, unless `insecure` says so; half of TLS; and an admin port that cannot be.
    """
    _check_admin_port(settings)
    _check_web_port(settings)
    if settings.tls_client_ca is not None and settings.tls_certificate is None:
        raise ConfigError("tls_client_ca is set, and tls_certificate is not: clients show theirs over TLS alone")
    hosts = {"host": settings.host} | ({"admin_host": settings.admin_host} if settings.admin_port >= 0 else {})
    hosts |= {"web_host": settings.web_host} if settings.web_port >= 0 else {}
    opened = [f"{name} {host}" for name, host in hosts.items() if not only_this_machine(host)]
    if not opened:
        return []
    where = " and ".join(opened)
    lines = []
    if settings.tls_certificate is None and settings.tls_key is None:
        if not settings.insecure:
            raise ConfigError(
                f"{where}: open to other machines, and without TLS; set tls_certificate and tls_key, or insecure "
                "(--insecure) where everybody on the way may read and change everything"
            )
        lines.append(f"insecure: {where}, open to other machines without TLS; who is on the way can read tokens, too")
    if not (settings.tokens or settings.callers or settings.tls_client_ca):
        lines.append(f"everybody may call: {where}, open to other machines, and no tokens, callers or tls_client_ca")
    return lines


def _check_admin_port(settings: Settings) -> None:
    if settings.admin_port < 0:
        for name in ("health", "reflection"):
            if getattr(settings, name) == "admin":
                raise ConfigError(f'{name} is "admin", and admin_port is unset; set both, or another word for {name}')
    elif settings.processes > 1 and settings.admin_port == 0:
        raise ConfigError("admin_port is 0, and processes is above 1: name a port, which they share")
    elif settings.admin_port and (settings.admin_port, settings.admin_host) == (settings.port, settings.host):
        raise ConfigError(f"admin_port is {settings.admin_port}, which is port, too; choose another")


def _check_web_port(settings: Settings) -> None:
    port, host = settings.web_port, settings.web_host
    if port < 0:
        return
    if host.startswith("unix:"):
        raise ConfigError(f"web_host is {host!r}; web_port needs an address that browsers can reach, not a Unix socket")
    if settings.processes > 1 and port == 0:
        raise ConfigError("web_port is 0, and processes is above 1: name a port, which they share")
    others = {"port": (settings.port, settings.host), "admin_port": (settings.admin_port, settings.admin_host)}
    for name, other in others.items():
        if port and other == (port, host):
            raise ConfigError(f"web_port is {port}, which is {name}, too; choose another")
